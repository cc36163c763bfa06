import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { create } from "@bufbuild/protobuf";
import { ContainerUpdateSchema, type ContainerUpdate } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import type { ContainerRecord } from "../masks/container.ts";
import type { RuntimeCalls } from "./hooks.ts";
import type { NodeKnowledge } from "./node.ts";
import type { Clock, Observer } from "./ports.ts";

/** Updates in one call or reply: each costs the runtime 12 to 14 ms under the lock that every pod start needs. */
export const MAX_BATCH = 16;
/** With the file lever the runtime's stored masks follow when nothing has changed for so long. */
const FOLLOW_AFTER_MS = 5000;
/** After a reply to a hook the runtime has long applied the updates in it. */
const REPLY_SETTLES_MS = 2000;
/** Between two batches pod starts get the lock. */
const BETWEEN_BATCHES_MS = 100;

/**
 * The runtime lever: masks by NRI updates. Under the file lever it only follows, so that the runtime's stored masks do
 * not stay stale; then its answers prove nothing and are not waited for.
 *
 * One call in flight, at most {@link MAX_BATCH} containers each, shrinks before growths, never for a container whose mask
 * is right already. Without unsolicited updates (NRI before 0.12.1 deadlocks on them) masks ride on the next hook's reply.
 */
export class RuntimeUpdates {
  readonly #node: NodeKnowledge;
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #calls: RuntimeCalls;
  readonly #onSend: (container: ContainerRecord) => void;
  readonly #onAnswer: (containers: readonly ContainerRecord[]) => void;
  readonly #queue = new Map<string, ContainerRecord>();
  #inFlight = false;
  #dueAt = Infinity;
  #cancelTimer: (() => void) | undefined;
  #canUpdate = false;

  constructor(parts: {
    node: NodeKnowledge;
    clock: Clock;
    observer: Observer;
    calls: RuntimeCalls;
    /** Before each that is sent: the update would put right in silence what somebody else has set. */
    onSend: (container: ContainerRecord) => void;
    /** After each answered batch: the kernel is to be read, since success is no proof. */
    onAnswer: (containers: readonly ContainerRecord[]) => void;
  }) {
    this.#node = parts.node;
    this.#clock = parts.clock;
    this.#observer = parts.observer;
    this.#calls = parts.calls;
    this.#onSend = parts.onSend;
    this.#onAnswer = parts.onAnswer;
  }

  /** Whether the session takes unsolicited updates. What was queued before it is found again by its Synchronize, which makes new records. */
  set canUpdate(can: boolean) {
    this.#canUpdate = can;
    this.#queue.clear();
  }

  get canUpdate(): boolean {
    return this.#canUpdate;
  }

  /** The runtime lever itself: as soon as possible. */
  queue(container: ContainerRecord): void {
    this.#queue.set(container.ref.id, container);
    if (this.#canUpdate) this.#schedule(0);
  }

  /** Behind the file lever: when things have been quiet for a while. A mask in the spec may stay stale; the type of a partition takes CPUs from others. */
  follow(container: ContainerRecord): void {
    const isTypeStale = container.storedType !== this.#node.specType(container);
    if ((!this.#canUpdate && !isTypeStale) || this.#queue.has(container.ref.id)) return;
    this.#queue.set(container.ref.id, container);
    if (this.#canUpdate) this.#schedule(FOLLOW_AFTER_MS);
  }

  /** Updates for a hook's reply, without the container that the hook is about (naming it there is an error). */
  forReply(exceptId: string): ContainerUpdate[] {
    if (this.#canUpdate || this.#queue.size === 0) return [];
    const batch = this.#take(exceptId);
    const granted = batch.map((container) => {
      container.stored = container.wanted;
      container.storedType = this.#node.specType(container);
      return grant(container, "reply");
    });
    // The next event tells that the runtime has applied them, but on a quiet node there is none.
    this.#clock.later(REPLY_SETTLES_MS, () => {
      const open = batch.filter(({ grants }) => grants.some((one) => granted.includes(one)));
      for (const container of open) container.grants = container.grants.filter((one) => !granted.includes(one));
      if (open.length > 0) this.#onAnswer(open);
    });
    return batch.map((container) => maskUpdate(container));
  }

  /** The runtime's spec says what is wanted. */
  isStored(container: ContainerRecord): boolean {
    const { wanted, stored, storedType } = container;
    return wanted === undefined || (stored?.equals(wanted) === true && storedType === this.#node.specType(container));
  }

  #schedule(ms: number): void {
    const dueAt = this.#clock.now() + ms;
    // What follows lazily must not put off what is urgent.
    if (this.#inFlight || dueAt >= this.#dueAt) return;
    this.#cancelTimer?.();
    this.#dueAt = dueAt;
    this.#cancelTimer = this.#clock.later(ms, () => {
      this.#dueAt = Infinity;
      void this.#send();
    });
  }

  async #send(): Promise<void> {
    // As above: what waits for a Synchronize is queued again by it.
    if (!this.#node.synchronized) this.#queue.clear();
    if (this.#inFlight || !this.#canUpdate || this.#queue.size === 0) return;
    const batch = this.#take("");
    if (batch.length === 0) return;
    for (const container of batch) this.#onSend(container);
    this.#inFlight = true;
    const granted = batch.map((container) => grant(container, "call"));
    const session = this.#node.session?.id;
    const types = batch.map((container) => this.#node.specType(container));
    try {
      await this.#calls.updateContainers(batch.map((container, n) => maskUpdate(container, types[n])));
      for (const [n, container] of batch.entries()) {
        container.stored = container.sent;
        container.storedType = types[n] ?? "";
      }
    } catch (cause) {
      this.#observer.count("lostUpdates");
      this.#observer.warn(
        "the runtime did not take an update of masks; they are read from the cgroups and sent again",
        {
          containers: batch.length,
          cause: (cause as Error).message,
        },
      );
    } finally {
      this.#inFlight = false;
      // A call of a lost session was not answered: the runtime may still apply it. Synchronize says when it is over.
      if (this.#node.session?.id === session)
        batch.forEach((container, n) => {
          container.grants = container.grants.filter((g) => g !== granted[n]);
        });
    }
    this.#onAnswer(batch);
    if (this.#queue.size > 0) this.#schedule(BETWEEN_BATCHES_MS);
  }

  /**
   * Its growth is about to be written, and comes back here when it was. Told the runtime first, the cgroups that a container has of its own would stay as
   * they are: the runtime writes the container's alone, and nobody would know then which of them are narrower by their own will.
   */
  #growsByFile(container: ContainerRecord): boolean {
    const { wanted, own, storedType, byRuntimeOnly } = container;
    const type = this.#node.specType(container);
    if (this.#node.levers.masks !== "file" || byRuntimeOnly || wanted === undefined || own === undefined) return false;
    return storedType === type && !wanted.isSubsetOf(own);
  }

  /** The mask in the reply to an update by somebody else: what has still to grow by file is told afterwards. */
  inReply(container: ContainerRecord, wanted: CpuSet): CpuSet {
    const now = this.#growsByFile(container) ? wanted.intersect(container.own ?? wanted) : wanted;
    return now.isEmpty ? wanted : now;
  }

  #take(exceptId: string): ContainerRecord[] {
    const ready: ContainerRecord[] = [];
    for (const [id, container] of this.#queue) {
      const known = this.#node.containers.get(id) === container;
      if (!known || (this.isStored(container) && !this.#node.isTooWide(container)) || this.#growsByFile(container))
        this.#queue.delete(id);
      // An update sent before POST_START may be lost and is reported as success: it waits.
      else if (id !== exceptId && container.phase === "running" && !container.stopping) ready.push(container);
    }
    ready.sort((a, b) => Number(this.#node.isTooWide(b)) - Number(this.#node.isTooWide(a)));
    const batch = ready.slice(0, MAX_BATCH);
    for (const container of batch) this.#queue.delete(container.ref.id);
    return batch;
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#canUpdate = false;
  }
}

function grant(container: ContainerRecord, by: "call" | "reply"): ContainerRecord["grants"][number] | undefined {
  const cpus = container.wanted;
  if (cpus === undefined) return undefined;
  container.sent = cpus;
  const one = { by, cpus };
  container.grants.push(one);
  return one;
}

/** An update that sets the CPUs and what hangs on them. Never with an empty set: NRI reads that as "no change". */
function maskUpdate({ ref, wanted, storedType }: ContainerRecord, type = storedType): ContainerUpdate {
  if (wanted === undefined || wanted.isEmpty)
    throw new Error(`an empty mask was about to be sent for container ${ref.id}`);
  return create(ContainerUpdateSchema, {
    containerId: ref.id,
    linux: { resources: { cpu: { cpus: wanted.toString() }, unified: partitionFile(type) } },
    ignoreFailure: true,
  });
}

/** For a spec: files of the container's cgroup, which the runtime writes after the mask (OCI `linux.resources.unified`). */
export function partitionFile(type: string): Record<string, string> {
  return type === "" ? {} : { "cpuset.cpus.partition": type };
}
