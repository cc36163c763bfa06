import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ContainerRecord } from "../masks/container.ts";
import type { MaskMover } from "./mover.ts";
import { nameOf, Neighbours, podCgroup } from "./neighbours.ts";
import type { NodeKnowledge } from "./node.ts";
import type { Partitioner } from "./partitioner.ts";
import type { CgroupPort, Observer } from "./ports.ts";

/** Where one of a container's claims is held by masks, all are. */
const BY_MASKS = "its claim is held by masks until no container of it lives";

/**
 * Gives a container that is about to run its claim's CPUs alone, by the best lever that can.
 *
 * With the kernel lever: one living container on the CPUs gets a partition of its own; several, in a pod whose living
 * containers all run on claims, make the pod's cgroup the partition; several beside shared containers in one pod cannot
 * have either (siblings cannot share exclusive CPUs), so the claim is held by masks until no container of it lives.
 */
export class ClaimStart {
  readonly #node: NodeKnowledge;
  readonly #mover: MaskMover;
  readonly #partitions: Partitioner;
  readonly #observer: Observer;
  readonly #neighbours: Neighbours;

  constructor(parts: {
    node: NodeKnowledge;
    cgroup: CgroupPort;
    mover: MaskMover;
    partitions: Partitioner;
    observer: Observer;
  }) {
    this.#node = parts.node;
    this.#mover = parts.mover;
    this.#partitions = parts.partitions;
    this.#observer = parts.observer;
    this.#neighbours = new Neighbours(parts);
  }

  /** @returns "" or why the container must not run. */
  enforce(container: ContainerRecord): string {
    const { cgroup, wanted } = container;
    if (cgroup === undefined || wanted === undefined) return container.problem || "its CPUs are not known";
    const stranger = this.#neighbours.strangerOn(container, wanted);
    if (stranger !== "") return stranger;
    const { force, why: noKernel } = this.#node.levers;
    if (force !== "kernel" || this.#isByMasks(container)) {
      if (force === "kernel") this.keepOff(uidsOf(container));
      // The runtime has made it one, by the spec of an earlier life or of its creation.
      if (container.storedType !== "") this.#partitions.disown(cgroup);
      const lost = force === "kernel" ? BY_MASKS : `the kernel lever is not in force here: ${noKernel}`;
      return this.#byMasksOnly(container, wanted, lost);
    }
    const why = this.#byPartition(container, cgroup, wanted);
    if (why === "") return "";
    // Masks cannot stop the kernel from balancing load: whoever does not run yet does not start.
    if (this.#node.isIsolated(container) && container.phase === "starting") return notIsolated(why);
    this.#warn("a claim is held by masks instead of a cpuset partition", container, why);
    this.toMasks(container, why);
    return this.#byMasksOnly(container, wanted, why);
  }

  #byMasksOnly(container: ContainerRecord, wanted: CpuSet, lost: string): string {
    const isolated = this.#node.isIsolated(container);
    if (isolated && container.phase === "starting") return notIsolated(lost);
    const why = this.#byMask(container, wanted);
    if (why !== "" || !isolated) return why;
    return `masks keep others off its CPUs, and they are isolated no longer (${lost}); restart its pod`;
  }

  /**
   * A claim's container that runs without a partition, or whose partition the kernel has invalidated: others are kept off by
   * masks first, then a partition is tried; where there is one, masks are not needed any more.
   */
  hold(container: ContainerRecord, invalid?: string): string {
    const { cgroup, wanted } = container;
    if (cgroup === undefined || wanted === undefined) return container.problem || "its CPUs are not known";
    this.keepOff(uidsOf(container), invalid !== undefined);
    if (invalid !== undefined) this.#partitions.release(invalid);
    const why = this.#byPartition(container, cgroup, wanted);
    if (why === "") {
      // A pod's partition holds the claims of all its containers.
      const held = [container, ...this.#neighbours.inPod(container)].flatMap(uidsOf);
      for (const uid of new Set(held))
        if (this.#node.containersOf(uid).every((one) => one.phase === "created" || one.partition !== "none"))
          this.#node.byMasks.delete(uid);
      this.#mover.refresh();
      return "";
    }
    this.#warn("a claim is held by masks instead of a cpuset partition", container, why);
    return this.#byMasksOnly(container, wanted, why);
  }

  /**
   * A container was created, and the runtime needs us no more to start it. So what keeps others off its CPUs is laid out now: its cgroup will be
   * made as a partition, or others are moved off by masks. And where its cgroup would undo a partition of its pod, that changes first: a mask that
   * meets a sibling's partition invalidates it, and what has no CPU of its pod's partition runs on all of them.
   * @returns "" or why it must not be created.
   */
  beforeCgroup(container: ContainerRecord): string {
    const { cgroup, wanted } = container;
    if (wanted === undefined || this.#node.levers.force !== "kernel") return "";
    if (container.role !== "claim") {
      this.#leavePodPartition(container);
      return "";
    }
    if (cgroup === undefined) return "";
    const stranger = this.#neighbours.strangerOn(container, wanted);
    if (stranger !== "") return stranger;
    for (const mate of [...this.#neighbours.inPod(container), ...this.#neighbours.comingInPod(container)]) {
      const { role, partition, wanted: its } = mate;
      if (role !== "claim" || (partition !== "pod" && !(partition === "own" && its?.overlaps(wanted) === true)))
        continue;
      const why = this.enforce(mate);
      if (why !== "" && mate.phase !== "created")
        this.#warn("a running container does not have its CPUs alone beside a new one", mate, why);
      // The pod is the partition of all of them.
      if (container.partition !== "none") return "";
    }
    const isByMasks = this.#isByMasks(container);
    const why = isByMasks ? BY_MASKS : this.#byPartition(container, cgroup, wanted);
    if (why === "") return "";
    if (this.#node.isIsolated(container)) return notIsolated(why);
    if (isByMasks) {
      this.keepOff(uidsOf(container));
      return "";
    }
    this.#warn("a claim is held by masks instead of a cpuset partition", container, why);
    this.toMasks(container, why);
    return "";
  }

  /**
   * A shared container cannot run inside a pod that is a partition: that pod's claims are held by masks from now on.
   * @returns "" or why it must not run.
   */
  beforeShared(container: ContainerRecord): string {
    const isolated = this.#leavePodPartition(container);
    return isolated === undefined
      ? ""
      : `several containers of its pod run on isolated CPUs of one claim (${isolated.ref.name} is one), so the pod can have no container without a claim; give each container a claim or request of its own`;
  }

  /**
   * Somebody without a claim runs already in a pod that is a partition: created while nobody watched. Being alone comes before being
   * isolated.
   * @returns "" or what is lost by it.
   */
  besideShared(container: ContainerRecord): string {
    const isolated = this.#leavePodPartition(container, true);
    return isolated === undefined
      ? ""
      : `container ${container.ref.name}, which has no claim, runs in its pod: masks keep others off its CPUs, and they are isolated no longer; restart its pod`;
  }

  /** @returns a container whose isolation stands against it. */
  #leavePodPartition(container: ContainerRecord, evenIsolated = false): ContainerRecord | undefined {
    const pod = podCgroup(container);
    if (pod === undefined || this.#partitions.living(pod) === undefined) return undefined;
    const users = [...this.#neighbours.inPod(container), ...this.#neighbours.comingInPod(container)].filter(
      (one) => one.role === "claim",
    );
    const isolated = users.find((one) => this.#node.isIsolated(one));
    if (isolated !== undefined && !evenIsolated) return isolated;
    const first = users[0];
    if (first !== undefined) this.toMasks(first, "a shared container starts in its pod", users);
    this.#partitions.release(pod);
    if (container.phase !== "created") this.#mover.settle(container);
    return isolated;
  }

  /** Others are moved off first, then the partitions go, so that at no time somebody else may use the CPUs. */
  toMasks(container: ContainerRecord, why: string, alsoOf: readonly ContainerRecord[] = []): void {
    const claims = new Set([container, ...alsoOf].flatMap(uidsOf));
    this.keepOff(claims);
    for (const other of this.#node.containers.values()) {
      if (!other.uses.some((use) => claims.has(use.claimUid)) || other.cgroup === undefined) continue;
      this.#partitions.release(other.cgroup);
      other.partition = "none";
      other.partitionText = "";
      this.#mover.settle(other);
    }
    this.#observer.info("claims are held by masks until no container of them lives", { claims: [...claims], why });
  }

  /**
   * Whoever is in no claim is moved off these claims' CPUs, as far as that was not done when they were last held by masks.
   * @param again even so: somebody has got onto them since.
   */
  keepOff(claims: Iterable<string>, again = false): void {
    const { byMasks } = this.#node;
    const added = [...claims].filter((uid) => !byMasks.has(uid));
    if (added.length === 0 && !again) return;
    for (const uid of added) byMasks.add(uid);
    this.#mover.refresh();
    for (const other of this.#node.containers.values()) if (other.role !== "claim") this.#mover.settle(other, false);
  }

  #byPartition(container: ContainerRecord, cgroup: string, wanted: CpuSet): string {
    const coming = this.#neighbours.comingInPod(container);
    const overlapping = [
      ...this.#neighbours.livingOn(container, wanted),
      ...coming.filter((other) => other.wanted?.overlaps(wanted) === true),
    ];
    const pod = podCgroup(container);
    const podIsPartition = pod !== undefined && this.#partitions.living(pod) !== undefined;
    if (overlapping.length === 0 && !podIsPartition) return this.#alone(container, cgroup, wanted);
    const mates = this.#neighbours.inPod(container);
    if (overlapping.some((other) => other.ref.podUid !== container.ref.podUid))
      return "a container of another pod runs on its CPUs";
    if (pod === undefined || mates.some((mate) => mate.role !== "claim")) {
      return "several containers of its pod use the CPUs, and the pod has shared containers too";
    }
    const all = [...mates, ...coming, container];
    const inside = all.flatMap((one) => (this.#isItself(one) && one.cgroup !== undefined ? [one.cgroup] : []));
    const cpus = CpuSet.union(all.map((one) => this.#whole(one, one.wanted ?? CpuSet.empty)));
    const isolated = all.some((one) => this.#node.isIsolated(one));
    const why = this.#partitions.take(pod, cpus, isolated, all, inside);
    for (const one of all) {
      if (why !== "") {
        if (one.partition === "own") one.partition = "none";
      } else if (one.phase === "created") one.partition = "pod";
      else {
        this.#mark(one, "pod", pod);
        this.#mover.settle(one);
      }
    }
    return why;
  }

  #alone(container: ContainerRecord, cgroup: string, wanted: CpuSet): string {
    const cpus = this.#whole(container, wanted);
    const isolated = this.#node.isIsolated(container);
    if (container.phase === "created") {
      const why = this.#partitions.expect(cgroup, cpus, isolated, container);
      if (why === "") container.partition = "own";
      return why;
    }
    const why = this.#partitions.take(cgroup, cpus, isolated, [container]);
    if (why === "") this.#mark(container, "own", cgroup);
    return why;
  }

  #isByMasks({ uses }: ContainerRecord): boolean {
    return uses.some((use) => this.#node.byMasks.has(use.claimUid));
  }

  /** A partition of its own: known as one, or one that the runtime has just made. */
  #isItself({ partition, phase, cgroup }: ContainerRecord): boolean {
    if (partition === "own") return true;
    return phase === "starting" && cgroup !== undefined && this.#partitions.isCalledOne(cgroup);
  }

  #whole(container: ContainerRecord, wanted: CpuSet): CpuSet {
    return this.#node.partitionMask(container) ?? wanted;
  }

  #byMask(container: ContainerRecord, wanted: CpuSet): string {
    if (this.#mover.settle(container) !== "right") {
      return (
        container.problem ||
        `it would run on CPUs ${container.effective?.toString() ?? "that cannot be read"} instead of ${wanted.toString()}`
      );
    }
    // Whoever still runs on the CPUs is moved now; the mover may not have come to it.
    for (const other of this.#node.containers.values()) {
      if (other === container || other.phase === "created" || this.#neighbours.share(other, container)) continue;
      const on = this.#node.reach(other)?.intersect(wanted);
      if (on !== undefined && !on.isEmpty && this.#mover.settle(other, false) === "wrong")
        return `${nameOf(other)} still runs on CPUs ${on.toString()}`;
    }
    return "";
  }

  #warn(message: string, container: ContainerRecord, why: string): void {
    this.#observer.warn(message, {
      pod: `${container.ref.podNamespace}/${container.ref.podName}`,
      container: container.ref.name,
      cpus: container.wanted?.toString(),
      why,
    });
  }

  #mark(container: ContainerRecord, partition: "own" | "pod", path: string): void {
    container.partition = partition;
    container.partitionText = this.#partitions.textOf(path);
    container.problem = "";
    this.#mover.look(container);
  }
}

function uidsOf({ uses }: ContainerRecord): string[] {
  return uses.map((use) => use.claimUid);
}

function notIsolated(why: string): string {
  return `its claim asks for isolated CPUs, which only a cpuset partition gives: ${why}`;
}
