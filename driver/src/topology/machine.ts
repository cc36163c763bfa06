import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

export type CoreType = "standard" | "performance" | "efficiency" | "low-power";

/** A usable (online) CPU: one hardware thread. Ids are the kernel's; -1 where the kernel does not tell. */
export interface Cpu {
  readonly id: number;
  /** Index into {@link Machine.cores}. */
  readonly core: number;
  /** The kernel's `topology/core_id`. It repeats in each socket on most machines; {@link core} does not. */
  readonly coreId: number;
  readonly socket: number;
  readonly die: number;
  readonly cluster: number;
  readonly numa: number;
  /** Index into {@link Machine.l3s}, or -1. */
  readonly l3: number;
  readonly coreType: CoreType;
}

/** Online threads that share a core. */
export interface Core {
  readonly cpus: CpuSet;
}

export interface NumaNode {
  readonly id: number;
  /** Online CPUs; empty for a node of memory alone. */
  readonly cpus: CpuSet;
  /** Distance to each NUMA node by id (ACPI SLIT: 10 is local). */
  readonly distances: ReadonlyMap<number, number>;
}

export interface Socket {
  readonly id: number;
  readonly cpus: CpuSet;
}

/** CPUs that share a last-level (level 3) cache. */
export interface L3Cache {
  /** The kernel's `cache/indexN/id`, else the lowest CPU of the sharing set. */
  readonly id: number;
  readonly cpus: CpuSet;
}

/**
 * The CPU topology of a machine as the kernel shows it (Documentation/admin-guide/cputopology.rst,
 * Documentation/ABI/testing/sysfs-devices-system-cpu). Sets, no averages: nothing here assumes that units are alike.
 */
export interface Machine {
  /** By ascending id. */
  readonly cpus: readonly Cpu[];
  readonly online: CpuSet;
  readonly present: CpuSet;
  /** `isolcpus=`. */
  readonly isolated: CpuSet;
  readonly nohzFull: CpuSet;
  /** By lowest CPU. */
  readonly cores: readonly Core[];
  /** By id; nodes without CPUs included. */
  readonly numaNodes: readonly NumaNode[];
  readonly sockets: readonly Socket[];
  /** By lowest CPU. */
  readonly l3s: readonly L3Cache[];
  /** True where some core has more than one online thread. */
  readonly smt: boolean;
  /** What the kernel does not tell, one sentence each. Such a CPU stays usable. */
  readonly unknowns: readonly string[];
}

export function cpuOf(machine: Machine, id: number): Cpu | undefined {
  return machine.cpus.find((cpu) => cpu.id === id);
}
