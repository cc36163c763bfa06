import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Machine } from "../topology/machine.ts";
import { choose } from "./choose.ts";
import { layoutOf } from "./layout.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";
import { because, ofType, whereFree } from "./shortfall.ts";

export { type CoreWish, type Cores, DEFAULT_POLICY, type L3Wish, type Policy, type Strategy } from "./policy.ts";
export { whereFree } from "./shortfall.ts";

export interface Allocated {
  readonly kind: "allocated";
  readonly cpus: CpuSet;
  /** Siblings that belong to the claim and stay idle. */
  readonly idle: CpuSet;
}

export interface Shortfall {
  readonly kind: "shortfall";
  readonly wanted: number;
  readonly free: CpuSet;
  /** What is missing, and where the free CPUs are. */
  readonly because: string;
}

/**
 * Chooses `wanted` CPUs out of `free` as `policy` says: the least cost by the objective of `objective.ts`, found exactly.
 * Deterministic.
 */
export function allocate(
  machine: Machine,
  free: CpuSet,
  wanted: number,
  policy: Policy = DEFAULT_POLICY,
): Allocated | Shortfall {
  const usable = free.intersect(machine.online);
  const choice =
    wanted === 0
      ? { cpus: CpuSet.empty, idle: CpuSet.empty }
      : choose(layoutOf(machine), ofType(machine, usable, policy), wanted, policy);
  if (choice !== undefined) return { kind: "allocated", ...choice };
  return { kind: "shortfall", wanted, free: usable, because: because(machine, usable, wanted, policy) };
}

/** The CPUs named, or a shortfall that says which of them are not free. */
export function allocateExact(machine: Machine, free: CpuSet, cpus: CpuSet): Allocated | Shortfall {
  const usable = free.intersect(machine.online);
  const missing = cpus.minus(usable);
  if (missing.isEmpty) return { kind: "allocated", cpus, idle: CpuSet.empty };
  const where = usable.isEmpty ? "no CPU is free" : `free are ${whereFree(machine, usable)}`;
  const why = `CPUs ${cpus.toString()} are wanted and ${missing.toString()} of them are not free; ${where}`;
  return { kind: "shortfall", wanted: cpus.size, free: usable, because: why };
}
