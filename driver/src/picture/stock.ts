import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Machine } from "../topology/machine.ts";

/** Counts of one part of the machine. */
export interface Stock {
  readonly id: number;
  /** For claims to take. */
  readonly free: number;
  readonly held: number;
  /** Reserved, and kept for the shared pool. */
  readonly withheld: number;
}

/** How CPUs are spread over NUMA nodes and L3 caches; parts without online CPUs are left out. */
export function stockOf(
  machine: Machine,
  held: CpuSet,
  withheld: CpuSet,
): { readonly numaNodes: readonly Stock[]; readonly l3s: readonly Stock[] } {
  const count = ({ id, cpus }: { readonly id: number; readonly cpus: CpuSet }): Stock => ({
    id,
    free: cpus.minus(held).minus(withheld).size,
    held: cpus.intersect(held).size,
    withheld: cpus.intersect(withheld).minus(held).size,
  });
  return {
    numaNodes: machine.numaNodes.filter((node) => !node.cpus.isEmpty).map(count),
    l3s: machine.l3s.map(count),
  };
}
