import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { MachineRecord } from "@dracpu/shared-proto/contract/records.ts";

/** Where the shared pool's CPUs come from: its own, the reserved CPUs, or (nothing else being left) every online CPU. */
export type PoolSource = "pool" | "reserved" | "online";

export interface Pool {
  /** What every shared container may use. Never empty while any CPU is online. */
  readonly shared: CpuSet;
  /** What this product's own pod may use: the shared pool and the reserved CPUs. */
  readonly own: CpuSet;
  readonly source: PoolSource;
}

/**
 * The shared pool as a function of the machine and of the CPUs that masks must keep others off.
 *
 * `offLimits` holds the CPUs of claims that are enforced by masks. CPUs of claims that the kernel enforces are not in
 * it: the kernel takes them out of every mask by itself, and lends them out while nothing of the claim runs.
 * An empty cpuset is never the answer, because NRI reads it as "no change".
 */
export function sharedPool(machine: MachineRecord, offLimits: CpuSet): Pool {
  const usable = machine.online.minus(offLimits);
  const reserved = usable.intersect(machine.reserved);
  const own = (shared: CpuSet): CpuSet => shared.union(reserved);
  const pool = usable.minus(machine.reserved);
  if (!pool.isEmpty) return { shared: pool, own: own(pool), source: "pool" };
  if (!reserved.isEmpty) return { shared: reserved, own: reserved, source: "reserved" };
  return { shared: machine.online, own: machine.online, source: "online" };
}
