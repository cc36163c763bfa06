import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { AllocationRecord, MachineRecord } from "@dracpu/shared-proto/contract/records.ts";
import { isTooNarrow, isTooWide, reach, type ContainerRecord } from "../masks/container.ts";
import { sharedPool, type Pool } from "../pool/pool.ts";
import { cpusOfUse, type PodName, type Truth } from "../truth/admit.ts";
import type { Session } from "./hooks.ts";
import type { Levers } from "./ports.ts";

/** What a driver gave, and how far it may be believed. */
export interface Held {
  epoch: bigint;
  revision: bigint;
  digest: string;
  highestEpoch: bigint;
}

/**
 * Everything the agent knows about its node, in memory. This class holds and derives; it decides no order of things, reads no
 * file and sends nothing. Claims come from the driver (or the agent's own file), containers from the runtime.
 */
export class NodeKnowledge {
  readonly #levers: Levers;
  readonly #leversOff: Levers;
  /** This product is being taken off the node: claims' containers stay where they are, and nobody is kept off anything any more. */
  lettingGo = false;
  truth: Truth = "none";
  #told: MachineRecord | undefined;
  #online: CpuSet | undefined;
  #machine: MachineRecord | undefined;
  #lastPool: Pool | undefined;
  readonly held: Held = { epoch: 0n, revision: 0n, digest: "", highestEpoch: 0n };
  readonly allocations = new Map<string, AllocationRecord>();
  /**
   * Claims that a driver stopped naming, or names with other CPUs, while containers of them may live: draining on our own account, or
   * kept as they are.
   */
  readonly orphans = new Map<string, AllocationRecord>();
  readonly containers = new Map<string, ContainerRecord>();
  /** Claims that the kernel lever cannot hold until no container of them lives; they are held by masks. */
  readonly byMasks = new Set<string>();
  session: Session | undefined;
  synchronized = false;

  constructor(levers: Levers) {
    this.#levers = levers;
    this.#leversOff = { ...levers, force: levers.masks, why: "this product is being taken off the node" };
  }

  get levers(): Levers {
    return this.lettingGo ? this.#leversOff : this.#levers;
  }

  /** The machine with the CPUs that are online now: no mask names another (cgroup v1 refuses it, and every create with it). */
  get machine(): MachineRecord | undefined {
    return this.#machine;
  }

  /** As a driver told it. */
  get told(): MachineRecord | undefined {
    return this.#told;
  }

  set told(machine: MachineRecord | undefined) {
    this.#told = machine;
    this.#machine = onlineNow(machine, this.#online);
  }

  /** As the kernel says; newer than what a driver told, and known before one speaks. */
  get online(): CpuSet | undefined {
    return this.#online;
  }

  set online(online: CpuSet | undefined) {
    this.#online = online;
    this.#machine = onlineNow(this.#told, online);
  }

  isTooWide(container: ContainerRecord): boolean {
    if (this.machine === undefined || !isTooWide(container, this.machine.online)) return false;
    // A CPU of its claim that comes back online is the kernel's to give, before any mask has been computed with it.
    const wanted = container.role === "claim" ? this.claimMask(container) : undefined;
    return wanted === undefined || isTooWide({ ...container, wanted }, this.machine.online);
  }

  isTooNarrow(container: ContainerRecord): boolean {
    return this.machine !== undefined && isTooNarrow(container, this.machine.online);
  }

  reach(container: ContainerRecord): CpuSet | undefined {
    return this.machine === undefined ? container.effective : reach(container, this.machine.online);
  }

  /** By uid: what is kept on our own account, else what the driver names. */
  claim(uid: string): AllocationRecord | undefined {
    return this.orphans.get(uid) ?? this.allocations.get(uid);
  }

  *claims(): Generator<AllocationRecord> {
    for (const [uid, allocation] of this.allocations) if (!this.orphans.has(uid)) yield allocation;
    yield* this.orphans.values();
  }

  /** Claims that the driver names with other CPUs than their living containers have. */
  kept(): AllocationRecord[] {
    if (!this.synchronized) return [];
    return [...this.orphans.values()].filter(
      ({ claim: { uid } }) => this.allocations.has(uid) && this.containersOf(uid).length > 0,
    );
  }

  /** Containers of a claim that live as far as anybody knows: created, running, or with a cgroup not yet seen empty. */
  containersOf(claimUid: string): ContainerRecord[] {
    const found: ContainerRecord[] = [];
    for (const container of this.containers.values()) {
      if (this.isOf(container, claimUid)) found.push(container);
    }
    return found;
  }

  /** Whether a container uses a claim. Once a driver has confirmed who may, those that only say so are no users of it. */
  isOf({ uses, role }: ContainerRecord, claimUid: string): boolean {
    if (this.truth === "confirmed" && role === "shared") return false;
    return uses.some((use) => use.claimUid === claimUid);
  }

  otherLivingPod(claimUid: string, podUid: string): PodName | undefined {
    for (const container of this.containersOf(claimUid)) {
      const { ref } = container;
      if (ref.podUid !== podUid) return { uid: ref.podUid, namespace: ref.podNamespace, name: ref.podName };
    }
    return undefined;
  }

  /** A draining claim whose containers are all gone, in a session that has listed them, holds nothing any more. */
  isDrained(allocation: AllocationRecord): boolean {
    return allocation.state === "draining" && this.synchronized && this.containersOf(allocation.claim.uid).length === 0;
  }

  isByMasks(uid: string): boolean {
    return this.levers.force !== "kernel" || this.byMasks.has(uid);
  }

  /** CPUs that belong to claims, idle siblings and draining claims included. */
  heldCpus(): CpuSet {
    if (this.lettingGo) return CpuSet.empty;
    const sets: CpuSet[] = [];
    for (const allocation of this.claims()) {
      if (!this.isDrained(allocation)) sets.push(cpusOf(allocation), allocation.idle);
    }
    sets.push(...this.#kept());
    return CpuSet.union(sets);
  }

  /** CPUs that masks must keep everybody else off. */
  offLimits(): CpuSet {
    if (this.lettingGo) return CpuSet.empty;
    const sets: CpuSet[] = [];
    for (const allocation of this.claims()) {
      if (this.isDrained(allocation)) continue;
      sets.push(allocation.idle);
      if (this.isByMasks(allocation.claim.uid)) sets.push(cpusOf(allocation));
    }
    sets.push(...this.#kept());
    return CpuSet.union(sets);
  }

  /** Restored truth: a running claim that is not in the file keeps what it runs on, and nobody else gets it. */
  #kept(): CpuSet[] {
    if (this.truth !== "restored") return [];
    return [...this.containers.values()]
      .filter((one) => one.role === "unknown-claim" && one.phase !== "stopped")
      .map((one) => one.effective ?? one.stored ?? CpuSet.empty);
  }

  /** CPUs of the claims that are reserved for a pod. */
  #ofPod(podUid: string): CpuSet {
    const sets: CpuSet[] = [];
    for (const allocation of this.claims())
      if (allocation.consumers.some((consumer) => consumer.uid === podUid)) sets.push(cpusOf(allocation));
    return CpuSet.union(sets);
  }

  /**
   * The shared pool, without the CPUs of its own pod's claims: a sibling whose mask meets a partition's CPUs makes the kernel
   * invalidate that partition, and an invalid one whose cgroup goes away is never given back (Linux 6.12).
   */
  #beside(container: ContainerRecord, shared: CpuSet): CpuSet {
    if (this.levers.force !== "kernel") return shared;
    const beside = shared.minus(this.#ofPod(container.ref.podUid));
    return beside.isEmpty ? shared : beside;
  }

  /**
   * This product's containers keep off claims even where the kernel would see to it: moving them takes the runtime's time, and a claim that its partition
   * fails would wait for it at its start.
   */
  #ownMask(pool: Pool): CpuSet {
    const own = pool.own.minus(this.heldCpus());
    return own.isEmpty ? pool.own : own;
  }

  /** `undefined` while nobody has told which machine this is. While it has the same CPUs it is the same object. */
  pool(): Pool | undefined {
    const pool = this.machine === undefined ? undefined : this.#poolOf(this.machine);
    const last = this.#lastPool;
    const isSame =
      pool !== undefined &&
      last?.source === pool.source &&
      last.shared.equals(pool.shared) &&
      last.own.equals(pool.own);
    return (this.#lastPool = isSame ? last : pool);
  }

  /** The kernel takes partitions out of every mask by itself, but where nothing is left of one it gives the parent's CPUs: then it is named. */
  #poolOf(machine: MachineRecord): Pool {
    const pool = sharedPool(machine, this.offLimits());
    if (this.levers.force !== "kernel" || pool.source !== "pool") return pool;
    const held = this.heldCpus();
    return pool.shared.minus(held).isEmpty ? sharedPool(machine, held) : pool;
  }

  /** The mask a container has to have now; `undefined`: leave it alone. */
  wantedMask(container: ContainerRecord, pool: Pool | undefined): CpuSet | undefined {
    if (pool === undefined || this.machine === undefined || this.truth === "none") return undefined;
    switch (container.role) {
      case "own":
        return this.#ownMask(pool);
      case "shared":
        return this.#beside(container, pool.shared);
      case "unknown-claim":
        return this.truth === "confirmed" ? this.#beside(container, pool.shared) : undefined;
      case "claim": {
        const all = this.claimMask(container);
        const cpus = all?.intersect(this.machine.online);
        // All its CPUs offline: the kernel runs it on its parent's until they are back, and that is an escape.
        return cpus?.isEmpty === true ? all : cpus;
      }
    }
  }

  /**
   * What the runtime's spec has to say of the container's `cpuset.cpus.partition`; "" for nothing. The word lasts: with every update, by whomever, the
   * runtime writes it again, also when no agent is there. So it follows what the container's cgroup is.
   */
  specType(container: ContainerRecord): "" | "root" | "isolated" | "member" {
    if (container.partition !== "own") return container.storedType === "" ? "" : "member";
    return this.isIsolated(container) ? "isolated" : "root";
  }

  isIsolated({ uses }: ContainerRecord): boolean {
    return uses.some((use) => this.claim(use.claimUid)?.isolated === true);
  }

  /**
   * What a partition of the container lists: its claim with the CPUs that are offline, since the kernel gives a partition no CPU later that is not in its list; and
   * without those that the machine has no more, which the kernel refuses.
   */
  partitionMask(container: ContainerRecord): CpuSet | undefined {
    const { machine } = this;
    const whole = this.claimMask(container);
    return machine === undefined ? whole : whole?.intersect(machine.present.union(machine.online));
  }

  /** Union of what the container's uses give it, offline CPUs included; `undefined` where a use is unknown. */
  claimMask(container: ContainerRecord): CpuSet | undefined {
    let cpus = CpuSet.empty;
    for (const use of container.uses) {
      const allocation = this.claim(use.claimUid);
      const share = allocation === undefined ? undefined : cpusOfUse(allocation, use);
      if (share === undefined) return undefined;
      cpus = cpus.union(share);
    }
    return cpus;
  }
}

/** Union of a claim's shares, without idle siblings. */
export function cpusOf(allocation: AllocationRecord): CpuSet {
  return CpuSet.union(allocation.shares.map((share) => share.cpus));
}

function onlineNow(told: MachineRecord | undefined, online: CpuSet | undefined): MachineRecord | undefined {
  if (told === undefined || online === undefined) return told;
  const both = told.online.intersect(online);
  return both.isEmpty || both.equals(told.online) ? told : { ...told, online: both };
}
