import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ContainerRecord } from "../masks/container.ts";
import {
  ancestorsOf,
  exclusiveLists,
  listWrites,
  parentOf,
  readPartition,
  type Partition,
} from "../partitions/plan.ts";
import type { NodeKnowledge } from "./node.ts";
import { CgroupFault, type CgroupPort, type Observer } from "./ports.ts";

interface Living extends Partition {
  readonly type: "root" | "isolated";
  readonly containers: ReadonlySet<string>;
  /** A pod's cgroup. It gets a list and no mask: a mask could never be taken out again while the pod lives, and would meet others' partitions. */
  readonly ofPod: boolean;
}

/**
 * The kernel lever: cpuset partitions of claim containers or, where several containers of a pod use the same CPUs, of the
 * pod. Makes and unmakes them, keeps the ancestors' lists equal to what the living partitions need, and tells what
 * the kernel says of each. Which claim gets one is decided in `claimstart.ts`.
 */
export class Partitioner {
  readonly #node: NodeKnowledge;
  readonly #cgroup: CgroupPort;
  readonly #observer: Observer;
  readonly #living = new Map<string, Living>();
  /** Ancestors whose list may be non-empty. */
  readonly #touched = new Set<string>();
  /** Top-level cgroups below which lists of an earlier life have been looked for, and how deep. */
  readonly #scanned = new Map<string, number>();

  constructor(parts: { node: NodeKnowledge; cgroup: CgroupPort; observer: Observer }) {
    this.#node = parts.node;
    this.#cgroup = parts.cgroup;
    this.#observer = parts.observer;
  }

  /** Nothing of ours is in the kernel. */
  get isEmpty(): boolean {
    return this.#living.size === 0 && this.#touched.size === 0;
  }

  /** Cgroups that are partitions of ours, or should be. */
  get paths(): ReadonlySet<string> {
    return new Set(this.#living.keys());
  }

  living(path: string): Partition | undefined {
    return this.#living.get(path);
  }

  /**
   * The runtime will make this cgroup, and a partition of it in the same breath, by its spec, also when nobody of us is there. The
   * kernel lets it where the ancestors' lists grant it the CPUs of its mask, so these are written now.
   * @returns "" or the kernel's reason, in which case nothing is left behind.
   */
  expect(path: string, cpus: CpuSet, isolated: boolean, container: ContainerRecord): string {
    this.#living.set(path, living(path, cpus, isolated ? "isolated" : "root", [container]));
    try {
      this.#scanAbove(path);
      this.#writeLists();
      return "";
    } catch (cause) {
      if (!(cause instanceof CgroupFault)) throw cause;
      this.#undo(path, undefined, []);
      return cause.message;
    }
  }

  /** A cgroup that is no partition as far as we know may be called one: the runtime does so by the spec of its creation. */
  disown(path: string): void {
    if (this.#living.has(path) || !this.isCalledOne(path)) return;
    this.#quietly(() => this.#cgroup.writePartition(path, "member"));
    this.#quietly(() => this.#cgroup.writeExclusive(path, CpuSet.empty));
  }

  isCalledOne(path: string): boolean {
    return readPartition(this.#cgroup.readPartition(path) ?? "").kind !== "member";
  }

  /**
   * Makes a cgroup a partition: ancestors' lists top first, then its own two files, then the type; read back. Partitions
   * `inside` become part of it: all else is ready when they are given up, so that the CPUs are open for two writes only.
   * @returns "" or the kernel's reason, in which case nothing is left behind, and `inside` are no partitions any more.
   */
  take(
    path: string,
    cpus: CpuSet,
    isolated: boolean,
    containers: Iterable<ContainerRecord>,
    inside: readonly string[] = [],
  ): string {
    const type = isolated ? "isolated" : "root";
    const before = this.#living.get(path);
    for (const one of inside) this.#living.delete(one);
    this.#living.set(path, living(path, cpus, type, [...containers]));
    try {
      this.#scanAbove(path);
      // What is called invalid may have its CPUs still: the kernel gives them back on this write only.
      if (readPartition(this.#cgroup.readPartition(path) ?? "").kind === "invalid")
        this.#cgroup.writePartition(path, "member");
      this.#writeLists();
      if (this.#living.get(path)?.ofPod === false) this.#cgroup.write(path, cpus);
      this.#cgroup.writeExclusive(path, cpus);
      for (const one of inside) this.#leave(one);
      this.#cgroup.writePartition(path, type);
      for (const one of inside) this.#quietly(() => this.#cgroup.writeExclusive(one, CpuSet.empty));
      const reading = readPartition(this.#cgroup.readPartition(path) ?? "");
      if (reading.kind === "valid") return "";
      this.#undo(path, before, inside);
      return reading.kind === "invalid" ? reading.why : "the kernel left it a member";
    } catch (cause) {
      if (!(cause instanceof CgroupFault)) throw cause;
      this.#undo(path, before, inside);
      return cause.message;
    }
  }

  /** One that is awaited has no cgroup yet. */
  #leave(path: string): void {
    try {
      this.#cgroup.writePartition(path, "member");
    } catch (cause) {
      if (!(cause instanceof CgroupFault) || cause.code !== "gone") throw cause;
    }
  }

  /** Gives the CPUs back to everybody. The cgroup may be gone already. */
  release(path: string): void {
    const one = this.#living.get(path);
    if (one === undefined) return;
    this.#living.delete(path);
    this.#quietly(() => this.#cgroup.writePartition(path, "member"));
    this.#quietly(() => this.#cgroup.writeExclusive(path, CpuSet.empty));
    this.#quietly(() => this.#writeLists());
  }

  /** After a container is gone: its own partition goes with it, its pod's when no other container is in it. */
  forget(container: ContainerRecord): void {
    for (const [path, one] of this.#living) {
      if (!one.containers.has(container.ref.id)) continue;
      const rest = [...one.containers].filter((id) => id !== container.ref.id && this.#node.containers.has(id));
      if (rest.length === 0) this.release(path);
      else this.#living.set(path, { ...one, containers: new Set(rest) });
    }
  }

  /** What the kernel says of a partition now; `undefined` where it is valid as wanted. */
  problemOf(path: string): string | undefined {
    const one = this.#living.get(path);
    if (one === undefined) return "it is not a partition";
    const text = this.#cgroup.readPartition(path);
    if (text === undefined) return undefined;
    const reading = readPartition(text);
    if (reading.kind === "valid" && reading.type === one.type) return undefined;
    return reading.kind === "invalid" ? reading.why : `it is ${text}`;
  }

  textOf(path: string): string {
    return this.#cgroup.readPartition(path) ?? "";
  }

  /** Gives up the partitions whose users' ids are such. */
  releaseWhere(which: (ids: ReadonlySet<string>) => boolean): void {
    for (const [path, one] of this.#living) if (which(one.containers)) this.release(path);
    if (this.#living.size === 0 && this.#touched.size > 0) this.#quietly(() => this.#writeLists());
  }

  /**
   * After a start: partitions of an earlier life of this agent are found and kept; stale lists are cleaned where `clean`.
   * `users` are the living containers by their cgroups and their pods' cgroups.
   */
  adopt(users: ReadonlyMap<string, readonly ContainerRecord[]>, clean: boolean): void {
    this.#living.clear();
    this.#scanned.clear();
    for (const [path, containers] of users) {
      const reading = readPartition(this.#cgroup.readPartition(path) ?? "");
      if (reading.kind === "member") continue;
      // Made by an old spec, inside its pod's: what is taken there is taken from the pod's other containers.
      const above = readPartition(this.#cgroup.readPartition(parentOf(path)) ?? "");
      if (users.has(parentOf(path)) && above.kind === "valid") {
        this.disown(path);
        continue;
      }
      const list = this.#cgroup.readExclusive(path);
      // One that the runtime made has its mask, and no list of its own yet: whoever wrote that mask would change the partition.
      const isBare = list?.isEmpty === true;
      const cpus = isBare ? this.#cgroup.read(path)?.own : list;
      // An invalid one may have its CPUs still, so the lists above it stay as well.
      if (cpus === undefined || cpus.isEmpty) continue;
      if (isBare && reading.kind === "valid") this.#quietly(() => this.#cgroup.writeExclusive(path, cpus));
      this.#living.set(path, living(path, cpus, reading.type, containers));
    }
    for (const { cgroup } of this.#node.containers.values()) if (cgroup !== undefined) this.#scanAbove(cgroup);
    if (clean) this.#quietly(() => this.#writeLists());
  }

  /** Finds lists that an earlier life left above and beside a cgroup: they would refuse its own (EINVAL). */
  #scanAbove(path: string): void {
    const above = ancestorsOf(path);
    const [top] = above;
    if (top === undefined || (this.#scanned.get(top) ?? 0) >= above.length) return;
    this.#scanned.set(top, above.length);
    this.#scan(top, above.length);
  }

  #scan(path: string, depth: number): void {
    const list = this.#cgroup.readExclusive(path);
    if (list === undefined) return;
    if (!list.isEmpty && !this.#living.has(path)) this.#touched.add(path);
    if (depth <= 1) return;
    for (const child of this.#cgroup.children(path)) this.#scan(`${path}/${child}`, depth - 1);
  }

  #undo(path: string, before: Living | undefined, inside: readonly string[]): void {
    for (const one of inside) {
      this.#quietly(() => this.#cgroup.writePartition(one, "member"));
      this.#quietly(() => this.#cgroup.writeExclusive(one, CpuSet.empty));
    }
    if (before === undefined) {
      this.#living.delete(path);
      this.#quietly(() => this.#cgroup.writePartition(path, "member"));
      this.#quietly(() => this.#cgroup.writeExclusive(path, CpuSet.empty));
    } else this.#living.set(path, before);
    this.#quietly(() => this.#writeLists());
    this.#observer.count("partitionFailures");
  }

  /** Ancestors' lists are the union over living partitions; what an earlier one left behind would refuse the next (EINVAL). */
  #writeLists(): void {
    const wanted = exclusiveLists(this.#living.values());
    const found = new Map<string, CpuSet>();
    for (const path of new Set([...wanted.keys(), ...this.#touched])) {
      // A partition's own list is not an ancestor's.
      if (this.#living.has(path) && !wanted.has(path)) continue;
      const list = this.#cgroup.readExclusive(path);
      if (list === undefined) this.#touched.delete(path);
      else found.set(path, list);
    }
    for (const { path, cpus } of listWrites(wanted, found)) {
      try {
        this.#cgroup.writeExclusive(path, cpus);
        if (cpus.isEmpty) this.#touched.delete(path);
        else this.#touched.add(path);
      } catch (cause) {
        if (!(cause instanceof CgroupFault) || cause.code !== "gone") throw cause;
        this.#touched.delete(path);
      }
    }
  }

  #quietly(run: () => void): void {
    try {
      run();
    } catch (cause) {
      if (!(cause instanceof CgroupFault)) throw cause;
      if (cause.code === "gone") return;
      this.#observer.count("partitionFailures");
      this.#observer.warn("a cpuset partition could not be cleaned up; it is tried again with the next one", {
        cause: cause.message,
      });
    }
  }
}

function living(path: string, cpus: CpuSet, type: "root" | "isolated", containers: readonly ContainerRecord[]): Living {
  return {
    path,
    cpus,
    type,
    containers: new Set(containers.map((container) => container.ref.id)),
    ofPod: containers.some((container) => container.cgroup !== path),
  };
}
