import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Machine } from "../topology/machine.ts";
import { DEFAULT_POLICY, type Policy } from "./policy.ts";

export { type CoreWish, type Cores, DEFAULT_POLICY, type L3Wish, type Policy, type Strategy } from "./policy.ts";

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
 * Chooses `wanted` CPUs out of `free`. Whole free cores first, one L3 domain where one is enough (the tightest), else as few as
 * the largest-first order gives. Deterministic: ties go to the lowest ids.
 */
export function allocate(
  machine: Machine,
  free: CpuSet,
  wanted: number,
  _policy: Policy = DEFAULT_POLICY,
): Allocated | Shortfall {
  const usable = free.intersect(machine.online);
  if (wanted > usable.size) {
    return {
      kind: "shortfall",
      wanted,
      free: usable,
      because: `${wanted} CPUs are wanted and ${usable.size} are free${usable.isEmpty ? "" : ` (${whereFree(machine, usable)})`}`,
    };
  }
  let taken = CpuSet.empty;
  const groups = l3Groups(machine, usable);
  while (taken.size < wanted) {
    const left = wanted - taken.size;
    const open = groups.map((group) => group.minus(taken)).filter((group) => !group.isEmpty);
    const fitting = open.filter((group) => group.size >= left).sort((a, b) => a.size - b.size || a.first - b.first);
    const largest = open.sort((a, b) => b.size - a.size || a.first - b.first);
    const group = fitting[0] ?? largest[0] ?? CpuSet.empty;
    taken = taken.union(byCores(machine, group, Math.min(left, group.size)));
  }
  return { kind: "allocated", cpus: taken, idle: CpuSet.empty };
}

/** The CPUs named, or a shortfall that says which of them are not free. */
export function allocateExact(machine: Machine, free: CpuSet, cpus: CpuSet): Allocated | Shortfall {
  const usable = free.intersect(machine.online);
  const missing = cpus.minus(usable);
  if (missing.isEmpty) return { kind: "allocated", cpus, idle: CpuSet.empty };
  const where = usable.isEmpty ? "no CPU is free" : `free are ${whereFree(machine, usable)}`;
  const because = `CPUs ${cpus.toString()} are wanted and ${missing.toString()} of them are not free; ${where}`;
  return { kind: "shortfall", wanted: cpus.size, free: usable, because };
}

/** Whole free cores, then threads of cores that are split already, then of the lowest free core. */
function byCores(machine: Machine, group: CpuSet, wanted: number): CpuSet {
  const inGroup = machine.cores
    .map((core) => ({ all: core.cpus, free: core.cpus.intersect(group) }))
    .filter((core) => !core.free.isEmpty);
  const whole = inGroup.filter((core) => core.free.size === core.all.size);
  let taken = CpuSet.empty;
  for (const core of whole) if (core.free.size <= wanted - taken.size) taken = taken.union(core.free);
  const split = inGroup.filter((core) => core.free.size < core.all.size);
  for (const core of [...split, ...whole]) taken = taken.union(core.free.minus(taken).lowest(wanted - taken.size));
  return taken;
}

/** Free CPUs by L3 domain; those without a known one are a group of their own. */
function l3Groups(machine: Machine, free: CpuSet): CpuSet[] {
  const known = machine.l3s.map((l3) => l3.cpus.intersect(free));
  return [...known, free.minus(CpuSet.union(known))].filter((group) => !group.isEmpty);
}

/** `NUMA node 0: 0-3, NUMA node 1: 8` */
export function whereFree(machine: Machine, free: CpuSet): string {
  const parts = machine.numaNodes
    .map((node) => ({ node, cpus: node.cpus.intersect(free) }))
    .filter(({ cpus }) => !cpus.isEmpty)
    .map(({ node, cpus }) => `NUMA node ${node.id}: ${cpus.toString()}`);
  const elsewhere = free.minus(CpuSet.union(machine.numaNodes.map((node) => node.cpus)));
  return [...parts, ...(elsewhere.isEmpty ? [] : [elsewhere.toString()])].join(", ");
}
