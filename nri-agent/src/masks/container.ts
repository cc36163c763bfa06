import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ClaimUse } from "../truth/marks.ts";

/**
 * | from | event | to |
 * |---|---|---|
 * | (new) | CreateContainer | created |
 * | (new) | Synchronize: CREATED | created |
 * | (new) | Synchronize: RUNNING, PAUSED | running |
 * | created | StartContainer | starting |
 * | created, starting | PostStartContainer | running |
 * | any | RemoveContainer, not listed at Synchronize | stopped |
 *
 * StopContainer is not here: other runtimes than containerd may send it before the termination grace, during which the container runs on (`stopping`).
 * A stopped container is forgotten only when its cgroup, and all below it, holds no process.
 */
export type ContainerPhase = "created" | "starting" | "running" | "stopped";

export type ContainerEvent = "start" | "post-start" | "remove" | "unlisted";

export function nextPhase(phase: ContainerPhase, event: ContainerEvent): ContainerPhase {
  switch (event) {
    case "start":
      return phase === "created" ? "starting" : phase;
    case "post-start":
      return phase === "stopped" ? "stopped" : "running";
    case "remove":
    case "unlisted":
      return "stopped";
  }
}

export type ContainerRole = "shared" | "claim" | "unknown-claim" | "own";

export interface ContainerRef {
  readonly id: string;
  readonly name: string;
  readonly podUid: string;
  readonly podNamespace: string;
  readonly podName: string;
}

/**
 * A mask that the runtime may still apply: an unanswered UpdateContainers (`call`, also one of a lost session), the reply to
 * UpdateContainer, which the runtime applies after releasing its lock (`update-reply`, until POST_UPDATE or 2 s), or
 * an update in another hook's reply (`reply`, until the session's next event or 2 s).
 */
export interface Grant {
  readonly by: "call" | "update-reply" | "reply";
  readonly cpus: CpuSet;
}

/** One container as the agent knows it. `wanted` is computed; `effective` is read; nothing is decided on `sent`. */
export interface ContainerRecord {
  readonly ref: ContainerRef;
  /** Below the cgroup root; `undefined` where the runtime's words cannot be used (`problem` says why). */
  readonly cgroup: string | undefined;
  phase: ContainerPhase;
  role: ContainerRole;
  uses: readonly ClaimUse[];
  /** Claim uids in the annotation that our CreateContainer reply sets. */
  marked: readonly string[];
  /** `undefined`: not ours to touch. */
  wanted: CpuSet | undefined;
  sent: CpuSet | undefined;
  /** `cpuset.cpus` of its cgroup, as last read. */
  own: CpuSet | undefined;
  /** As last read; `stale` tells that something may have changed it since. */
  effective: CpuSet | undefined;
  stale: boolean;
  readAt: number;
  /** When it was first heard of, by the clock that nobody sets. */
  createdAt: number;
  /** Created, and its cgroup had a process when it was last looked at: it runs, or is about to say so. */
  unannounced: boolean;
  /** The runtime's stored cpuset, as far as we know it. */
  stored: CpuSet | undefined;
  /** `cpuset.cpus.partition` in the runtime's stored spec, as far as we know it; "" for none. The runtime writes it at the start and with every update. */
  storedType: string;
  grants: Grant[];
  /** Which cgroup is this container's partition: its own, its pod's, or none. */
  partition: "none" | "own" | "pod";
  partitionText: string;
  /** Why its mask is not what it should be; empty where it is. */
  problem: string;
  /** Why it is confined although it shows a claim; empty for all others. */
  confined: string;
  /** StopContainer came: its grace runs or it is dead. A reconnect to the runtime would wait for it. */
  stopping: boolean;
  /** It was reported outside its mask, and not yet back inside. */
  outside: boolean;
  /** The kernel refuses this agent the writing of its mask: it is this agent's own, and its cgroup a cgroup namespace's root. */
  byRuntimeOnly: boolean;
}

/** A mask as the kernel takes it: an empty one stands for every CPU. */
function masked(own: CpuSet, online: CpuSet): CpuSet {
  return own.isEmpty ? online : own.intersect(online);
}

/**
 * Online CPUs that the kernel may run the container on, as far as was read: those it runs on now, and those its own mask takes back
 * as soon as a partition gives them up. `undefined` where nothing was read.
 */
export function reach(container: ContainerRecord, online: CpuSet): CpuSet | undefined {
  const { effective, own } = container;
  return effective === undefined || own === undefined ? effective : effective.union(masked(own, online));
}

/** True where the kernel may run the container on a CPU that it should not have. */
export function isTooWide(container: ContainerRecord, online: CpuSet): boolean {
  const { wanted, own, effective } = container;
  if (wanted === undefined || effective === undefined) return false;
  if (!effective.isSubsetOf(wanted)) return true;
  return own !== undefined && own !== wanted && !masked(own, online).isSubsetOf(wanted);
}

/** True where its own mask is not the wanted one, though it runs on no wrong CPU. Offline CPUs in a mask do not count. */
export function isTooNarrow(container: ContainerRecord, online: CpuSet): boolean {
  const { wanted, own } = container;
  if (wanted === undefined || own === undefined || own === wanted || isTooWide(container, online)) return false;
  return !own.intersect(online).equals(wanted.intersect(online));
}

/** It runs, its mask is ours to say, and its cgroup is known. */
export function isWatched(container: ContainerRecord): boolean {
  return container.wanted !== undefined && container.cgroup !== undefined && container.phase === "running";
}
