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

/** Online threads that share a core: 1, 2, 4 or 8. Core ids repeat, so a core is told by (socket, die, cluster, core id) of its CPUs. */
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

/** Die ids may repeat in each socket. */
export interface Die {
  readonly socket: number;
  readonly id: number;
  readonly cpus: CpuSet;
}

/** Cores that the firmware or the kernel groups below the die (ARM: PPTT; x86: cores that share a level 2 cache). */
export interface Cluster {
  readonly socket: number;
  readonly die: number;
  readonly id: number;
  readonly cpus: CpuSet;
}

/** CPUs that share a level 3 cache. */
export interface L3Cache {
  /** The kernel's `cache/indexN/id`; the lowest CPU of the sharing set where it tells none, or one id for several caches. */
  readonly id: number;
  readonly cpus: CpuSet;
}

/** A cache of any level. Of each level and type, a CPU is in one at most. */
export interface Cache {
  readonly level: number;
  /** As the kernel says it: `Data`, `Instruction`, `Unified`; "" where it does not. */
  readonly type: string;
  /** As {@link L3Cache.id}. */
  readonly id: number;
  readonly cpus: CpuSet;
  /** KiB; `undefined` where the kernel does not tell. */
  readonly sizeKiB: number | undefined;
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
  /** By id. */
  readonly sockets: readonly Socket[];
  /** By socket and id. */
  readonly dies: readonly Die[];
  /** By socket, die and id. */
  readonly clusters: readonly Cluster[];
  /** By level, type and lowest CPU. */
  readonly caches: readonly Cache[];
  /** By lowest CPU. */
  readonly l3s: readonly L3Cache[];
  /** True where some core has more than one online thread. */
  readonly smt: boolean;
  /** What the kernel does not tell, one sentence each. Such a CPU stays usable. */
  readonly unknowns: readonly string[];
}

export function cpuOf(machine: Machine, id: number): Cpu | undefined {
  let low = 0;
  let high = machine.cpus.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const cpu = machine.cpus[middle];
    if (cpu === undefined || cpu.id === id) return cpu;
    if (cpu.id < id) low = middle + 1;
    else high = middle - 1;
  }
  return undefined;
}
