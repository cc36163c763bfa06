import { create } from "@bufbuild/protobuf";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import {
  CreateContainerResponseSchema,
  StopContainerResponseSchema,
  UpdateContainerResponseSchema,
  type Container,
  type ContainerUpdate,
  type CreateContainerResponse,
  type PodSandbox,
  type StopContainerResponse,
  type UpdateContainerResponse,
} from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { nextPhase, type ContainerRecord, type Grant } from "../masks/container.ts";
import { admit, type Admission } from "../truth/admit.ts";
import type { MarkNames } from "../truth/marks.ts";
import { endOlder, isolationClash } from "./podmates.ts";
import { checkPartitions } from "./holding.ts";
import { nameOf } from "./neighbours.ts";
import { HookRefusal, type RuntimeHooks, type Session, type SessionFacts } from "./hooks.ts";
import { marksOf, newRecord } from "./record.ts";
import { noQuota, pinReply, sharedReply } from "./replies.ts";
import { partitionFile } from "./updates.ts";
import type { EnforcerParts } from "./parts.ts";

/** An UpdateContainer reply is applied after the runtime has released its lock; then it is read back. */
const UPDATE_REPLY_SETTLES_MS = 2000;
/** Refused containers whose undoing the runtime has not told yet. */
const MAX_REFUSED = 256;

type SynchronizeWith = (
  pods: readonly PodSandbox[],
  containers: Iterable<Container>,
  cdiVisible: boolean,
) => Promise<ContainerUpdate[]>;

/** The runtime's events, turned into what is known and what is wanted. Of the synchronous hooks, those about shared containers touch memory only. */
export class HookHandler implements RuntimeHooks {
  readonly #p: EnforcerParts;
  readonly #names: MarkNames;
  readonly #ownPodUid: string;
  readonly #factsOf: (session: Session) => SessionFacts;
  /** Ids: the runtime stops what it could not create, and that tells nothing. */
  readonly #refused = new Set<string>();
  #cdiVisible = true;
  readonly #synchronizeWith: SynchronizeWith;

  constructor(
    parts: EnforcerParts,
    options: {
      names: MarkNames;
      /** uid of this product's own pod; "" outside of one. */
      ownPodUid: string;
      factsOf: (session: Session) => SessionFacts;
      synchronize: SynchronizeWith;
    },
  ) {
    this.#p = parts;
    this.#names = options.names;
    this.#ownPodUid = options.ownPodUid;
    this.#factsOf = options.factsOf;
    this.#synchronizeWith = options.synchronize;
  }

  sessionConfigured(session: Session): void {
    const facts = this.#factsOf(session);
    this.#cdiVisible = facts.cdiVisible;
    this.#p.node.session = session;
    this.#p.node.synchronized = false;
    this.#p.updates.canUpdate = facts.canUpdate;
    this.#p.changed();
  }

  sessionClosed(session: Session, why: string): void {
    if (this.#p.node.session?.id !== session.id) return;
    this.#p.node.session = undefined;
    this.#p.node.synchronized = false;
    this.#p.updates.canUpdate = false;
    this.#p.say.session(`The NRI session ended: ${why}`);
    this.#p.changed();
  }

  synchronize(pods: readonly PodSandbox[], containers: Iterable<Container>): Promise<ContainerUpdate[]> {
    return this.#synchronizeWith(pods, containers, this.#cdiVisible);
  }

  createContainer(pod: PodSandbox, container: Container): CreateContainerResponse {
    try {
      return this.#created(pod, container);
    } catch (cause) {
      // It is not made, and counts as nobody's.
      this.#p.node.containers.delete(container.id);
      throw cause;
    }
  }

  #created(pod: PodSandbox, container: Container): CreateContainerResponse {
    const { node } = this.#p;
    const record = newRecord(pod, container, this.#p.clock.now());
    record.phase = "created";
    if (endOlder(node, record)) this.#p.reaper.expect();
    const reading = marksOf(container, this.#names, this.#cdiVisible);
    const decision = admit({
      reading,
      truth: node.truth,
      online: node.machine?.online ?? CpuSet.empty,
      pod: { uid: record.ref.podUid, namespace: record.ref.podNamespace, name: record.ref.podName },
      container: record.ref.name,
      allocation: (uid) => node.claim(uid),
      otherLivingPod: (uid) => node.otherLivingPod(uid, record.ref.podUid),
    });
    if (decision.kind === "refuse") this.#refuseCreate(record, decision);
    if (decision.kind === "pin") {
      record.role = "claim";
      record.uses = decision.uses;
      record.marked = decision.uses.map((use) => use.claimUid);
    } else if (this.#ownPodUid !== "" && record.ref.podUid === this.#ownPodUid) record.role = "own";
    const clash = record.role === "own" ? undefined : isolationClash(node, record);
    if (clash !== undefined) this.#refuseCreate(record, clash);
    node.containers.set(record.ref.id, record);
    this.#p.failed.answered(record.ref);
    this.#grantsAreOver(record.ref.id);
    record.wanted = node.wantedMask(record, node.pool());
    if (record.wanted === undefined) return create(CreateContainerResponseSchema);
    const why = this.#p.claimStart.beforeCgroup(record);
    if (why !== "") {
      const message = `dra.cpu: cannot create ${nameOf(record)} on CPUs ${record.wanted.toString()}: ${why}`;
      this.#refuseCreate(record, { kind: "refuse", reason: "NOT_ENFORCED", message, uses: record.uses });
    }
    record.wanted = node.wantedMask(record, node.pool());
    if (record.wanted === undefined) return create(CreateContainerResponseSchema);
    record.sent = record.wanted;
    record.stored = record.wanted;
    record.storedType = node.specType(record);
    const update = this.#p.updates.forReply(record.ref.id);
    if (decision.kind !== "pin") return sharedReply(record.wanted, update);
    this.#p.say.pinned(record);
    return pinReply(
      record.wanted,
      this.#p.machine.memoryNodes(record.wanted),
      record.storedType,
      decision.uses,
      reading.kind === "claims" ? reading.gates : [],
      update,
      this.#names,
    );
  }

  postCreateContainer(pod: PodSandbox, container: Container): void {
    this.#grantsAreOver(container.id);
    this.#p.failed.made(this.#known(pod, container).ref);
  }

  /** The container's cgroup exists and its one process waits: whatever became stale since its creation is put right. */
  async startContainer(pod: PodSandbox, container: Container): Promise<void> {
    const record = this.#known(pod, container);
    this.#grantsAreOver(record.ref.id);
    this.#p.failed.made(record.ref);
    record.phase = nextPhase(record.phase, "start");
    this.#p.mover.refresh();
    const who = nameOf(record);
    if (record.role === "claim") {
      const gone = record.uses.some((use) => {
        const state = this.#p.node.claim(use.claimUid)?.state;
        return state !== "prepared" && state !== "preparing";
      });
      const why = gone ? "its claim has been released on this node" : this.#p.claimStart.enforce(record);
      if (why !== "")
        this.#refuseStart(record, `dra.cpu: cannot start ${who} on CPUs ${record.wanted?.toString() ?? ""}: ${why}`);
    } else if (record.role === "unknown-claim") {
      // Its gate is open already: an agent that knew the claim let it pass.
      this.#refuseStart(
        record,
        `dra.cpu: cannot start ${who}: no claim of its is prepared on this node as far as the NRI agent knows; the kubelet tries again, and where the pod is not being deleted, delete and re-create it`,
      );
    } else {
      const why = record.role === "shared" ? this.#p.claimStart.beforeShared(record) : "";
      if (why !== "") this.#refuseStart(record, `dra.cpu: cannot start ${who}: ${why}`);
      if (this.#p.mover.settle(record) === "wrong") {
        this.#refuseStart(
          record,
          `dra.cpu: cannot start ${who}: it would run on CPUs that belong to claims (${record.problem || "its mask became stale"}); the kubelet tries again`,
        );
      }
      // The runtime gave its cgroup the mask of its creation, which may be older than a partition beside it.
      checkPartitions(this.#p, ({ ref }) => ref.podUid === record.ref.podUid);
    }
    this.#p.changed();
  }

  postStartContainer(pod: PodSandbox, container: Container): void {
    const record = this.#known(pod, container);
    this.#grantsAreOver(record.ref.id);
    record.phase = nextPhase(record.phase, "post-start");
    // An update that the runtime applied while it started may have been lost or have undone ours.
    this.#p.mover.doubt(record);
    this.#p.changed();
  }

  updateContainer(pod: PodSandbox, container: Container): UpdateContainerResponse {
    const record = this.#known(pod, container);
    this.#grantsAreOver(record.ref.id);
    // A type that is written again over a partition that the kernel calls invalid would throw it off its CPUs.
    checkPartitions(this.#p, (one) => one === record);
    const { wanted } = record;
    if (wanted === undefined) return create(UpdateContainerResponseSchema);
    const cpus = this.#p.updates.inReply(record, wanted);
    const grant = { by: "update-reply" as const, cpus };
    record.grants.push(grant);
    record.sent = cpus;
    record.stored = cpus;
    record.storedType = this.#p.node.specType(record);
    this.#p.clock.later(UPDATE_REPLY_SETTLES_MS, () => this.#settleGrants(record, (one) => one === grant));
    const cpu = { cpus: cpus.toString(), ...(record.role === "claim" ? { quota: noQuota(container) } : {}) };
    const resources = { cpu, unified: partitionFile(record.storedType) };
    const others: ContainerUpdate[] = this.#p.updates.forReply(record.ref.id);
    const update = [{ containerId: record.ref.id, linux: { resources } }, ...others];
    return create(UpdateContainerResponseSchema, { update });
  }

  postUpdateContainer(pod: PodSandbox, container: Container): void {
    this.#grantsAreOver(container.id);
    const record = this.#known(pod, container);
    this.#settleGrants(record, (one) => one.by === "update-reply");
    this.#p.mover.doubt(record);
  }

  stopContainer(pod: PodSandbox, container: Container): StopContainerResponse {
    this.#grantsAreOver(container.id);
    if (!this.#refused.delete(container.id)) {
      const record = this.#known(pod, container);
      record.stopping = true;
      this.#notMade(record);
      this.#p.reaper.expect();
    }
    return create(StopContainerResponseSchema, { update: this.#p.updates.forReply(container.id) });
  }

  removeContainer(pod: PodSandbox, container: Container): void {
    this.#grantsAreOver(container.id);
    const record = this.#p.node.containers.get(container.id);
    if (record === undefined) return;
    record.phase = nextPhase(record.phase, "remove");
    this.#notMade(record);
    this.#p.reaper.expect();
    this.#p.changed();
    void pod;
  }

  /** An event about a container that was created while no session was synchronized. */
  #known(pod: PodSandbox, container: Container): ContainerRecord {
    const known = this.#p.node.containers.get(container.id);
    if (known !== undefined) return known;
    const record = this.#p.classify(pod, container, this.#cdiVisible);
    this.#p.node.containers.set(record.ref.id, record);
    record.wanted = this.#p.node.wantedMask(record, this.#p.node.pool());
    return record;
  }

  #refuseCreate(record: ContainerRecord, refusal: Extract<Admission, { kind: "refuse" }>): never {
    if (this.#refused.size >= MAX_REFUSED) this.#refused.clear();
    this.#refused.add(record.ref.id);
    this.#p.observer.refused(refusal.reason);
    this.#p.say.refused(record.ref, refusal);
    // Who stands against it may have ended unseen.
    this.#p.reaper.expect();
    throw new HookRefusal(refusal.message);
  }

  #refuseStart(record: ContainerRecord, message: string): never {
    record.problem = message;
    this.#p.observer.refused("NOT_ENFORCED");
    this.#p.say.refused(record.ref, { kind: "refuse", reason: "NOT_ENFORCED", message, uses: record.uses });
    throw new HookRefusal(message);
  }

  #notMade(record: ContainerRecord): void {
    const why = this.#p.failed.ended(record.ref);
    if (why !== "") this.#p.say.problem(why, record.ref, CODES.creationFails);
  }

  #settleGrants(record: ContainerRecord, which: (grant: Grant) => boolean): void {
    const before = record.grants.length;
    record.grants = record.grants.filter((grant) => !which(grant));
    if (record.grants.length === before || this.#p.node.containers.get(record.ref.id) !== record) return;
    this.#p.mover.doubt(record);
    this.#p.changed();
  }

  /** The runtime sends one event at a time: with the next one, updates in the reply before it have been applied. */
  #grantsAreOver(exceptId: string): void {
    for (const container of this.#p.node.containers.values()) {
      if (container.grants.length === 0 || container.ref.id === exceptId) continue;
      if (!container.grants.some((grant) => grant.by === "reply")) continue;
      container.grants = container.grants.filter((grant) => grant.by !== "reply");
      this.#p.mover.doubt(container);
    }
  }
}
