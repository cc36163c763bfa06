import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AllocationRecord, MachineRecord } from "@dracpu/shared-proto/contract/records.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { EventSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import type { EventSource } from "./contract.ts";

/**
 * - `gone`: no such cgroup
 * - `refused`: the kernel refuses the value (EINVAL, EBUSY, ERANGE, ENOSPC); `message` says which file and value
 * - `denied`: EACCES, EPERM, EROFS; on cgroup v1 EACCES also means that the parent lacks a CPU
 * - `io`: anything else
 */
export type CgroupCode = "gone" | "refused" | "denied" | "io";

export class CgroupFault extends Error {
  override readonly name = "CgroupFault";
  readonly code: CgroupCode;
  constructor(code: CgroupCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface CgroupReading {
  /** `cpuset.cpus` of the cgroup itself; empty on v2 where nobody set it. */
  readonly own: CpuSet;
  /** Union of the effective sets of the cgroup and of every one below it. */
  readonly effective: CpuSet;
}

/**
 * The cpuset controller's files. Paths are below the cgroup root and were checked (`masks/cgrouppath.ts`). Every call is
 * synchronous and touches a handful of files of kernel memory: 0.02 to 0.2 ms each. Failures are {@link CgroupFault}s.
 */
export interface CgroupPort {
  readonly version: 1 | 2;
  /** `undefined` where there is no such cgroup. */
  read(path: string): CgroupReading | undefined;
  /** Gives the cgroup, and on v1 everything below it, this mask; in the order the kernel accepts. */
  write(path: string, cpus: CpuSet): void;
  /** True where the cgroup or any below it holds a process; false where it is gone. */
  populated(path: string): boolean;
  /** Names of the cgroups right below; empty where there is no such cgroup. */
  children(path: string): readonly string[];
  /** `cpuset.cpus.exclusive`; `undefined` where the cgroup or the file does not exist. */
  readExclusive(path: string): CpuSet | undefined;
  writeExclusive(path: string, cpus: CpuSet): void;
  /** Text of `cpuset.cpus.partition`; `undefined` where the cgroup or the file does not exist. */
  readPartition(path: string): string | undefined;
  writePartition(path: string, type: "root" | "isolated" | "member"): void;
  /**
   * Calls `changed` when the kernel announces that `cpuset.cpus.partition` reads differently (cgroup-v2.rst: "poll and inotify"), by and by
   * and perhaps once for several changes. Throws nothing.
   * @returns what ends it; `undefined` where the cgroup is gone, or the kernel has no room for another watch.
   */
  watchPartition(path: string, changed: () => void): (() => void) | undefined;
}

/** What the kernel says of the machine itself. */
export interface MachinePort {
  /** CPUs that are online now; `undefined` where the kernel does not tell. */
  online(): CpuSet | undefined;
  /** NUMA nodes whose memory a claim's container with these CPUs may take, as a kernel list; "" for all. Touches no file. */
  memoryNodes(cpus: CpuSet): string;
}

/** How much CPU time was used, ever. */
export interface UsagePort {
  /** Milliseconds in which each online CPU ran something, interrupts aside; none where the kernel does not tell. */
  busyMs(): Promise<ReadonlyMap<number, number>>;
  /** Milliseconds of the cgroup and all below it; `undefined` where it is not there. */
  usedMs(path: string): Promise<number | undefined>;
  /**
   * Milliseconds of each cgroup of the first two levels that has none of these in or below it; of one with cgroups below, theirs in place of its own.
   * @param pods cgroups of containers.
   */
  outsideMs(pods: readonly string[]): Promise<ReadonlyMap<string, number>>;
}

export interface Affinities {
  /** Of how many of the cgroups a thread was seen. */
  readonly seen: number;
  /** What all threads in and below a cgroup have alike, where that is less than they may. */
  readonly behind: ReadonlyMap<string, CpuSet>;
}

/** What the kernel lets threads run on, within what their cgroups may. */
export interface ThreadsPort {
  /** Where processes are looked for; "" where the host's cannot be seen. */
  readonly root: string;
  /** @param may which CPUs each cgroup may use. */
  behind(may: ReadonlyMap<string, CpuSet>): Promise<Affinities>;
}

/** What the agent's own file holds (versioned by the disk edge). Nothing in it is about containers. */
export interface AgentMemory {
  readonly bootId: string;
  readonly highestEpoch: bigint;
  readonly epoch: bigint;
  readonly revision: bigint;
  readonly digest: string;
  readonly machine: MachineRecord | undefined;
  readonly allocations: readonly AllocationRecord[];
  /** Claims that a driver stopped naming while containers of them may have lived. */
  readonly orphans: readonly AllocationRecord[];
}

export interface MemoryPort {
  /** Durable when it resolves: written whole, fsynced, renamed. Rejects with a sentence; nothing was changed then. */
  save(memory: AgentMemory): Promise<void>;
}

export interface Clock {
  /** Milliseconds since some instant, of a clock that nobody sets: what is due is measured by it. */
  now(): number;
  /** Unix milliseconds, for people. */
  unix(): number;
  /** Runs `task` once, `ms` from now; the returned function cancels. */
  later(ms: number, task: () => void): () => void;
  /** Lets the event loop turn once. */
  yield(): Promise<void>;
}

/** What is counted for /metrics. */
export type CounterName = "escapes" | "repairs" | "lostUpdates" | "maskFailures" | "partitionFailures";

export interface Observer {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
  count(counter: CounterName): void;
  refused(reason: string): void;
  /** A change of the shared pool has reached everybody, so many milliseconds after it was decided. */
  moved(ms: number): void;
}

/** The ring that WatchEvents serves; `add` numbers and stamps the event. */
export interface EventRing extends EventSource {
  add(event: MessageInitShape<typeof EventSchema>): void;
}

/** Best first. `kernel` falls back to `masks` for claims that the kernel cannot hold. */
export interface Levers {
  readonly force: "kernel" | "file" | "runtime";
  /** How masks are moved, also under `kernel`. */
  readonly masks: "file" | "runtime";
  /** Why the better levers are not in force; empty for `kernel`. */
  readonly why: string;
}
