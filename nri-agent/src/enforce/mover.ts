import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { nextPhase, type ContainerRecord } from "../masks/container.ts";
import type { NodeKnowledge } from "./node.ts";
import { CgroupFault, type CgroupPort, type Clock, type Observer } from "./ports.ts";
import type { RuntimeUpdates } from "./updates.ts";

/** A growth waits this long for others, so that claims that come and go do not make every mask flutter. */
export const GROWTH_DELAY_MS = 1000;
/** Bulk work lets the event loop turn after this long, so that a hook never waits for it. */
const SLICE_MS = 1;
const RETRY_FIRST_MS = 250;
const RETRY_MAX_MS = 5000;

export type Settled =
  /** Read back inside the wanted mask. */
  | "right"
  /** No cgroup (yet, or any more), not ours to touch, or not to be read and off all that it should not have as far as is known. */
  | "absent"
  /** Still on a CPU that it should not have; `problem` of the container says why. */
  | "wrong";

/**
 * Moves containers to their wanted masks and reads back what the kernel made of it. Shrinks go first and at once;
 * growths wait {@link GROWTH_DELAY_MS}. Nothing is decided on what was sent.
 */
export class MaskMover {
  readonly #node: NodeKnowledge;
  readonly #cgroup: CgroupPort;
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #updates: RuntimeUpdates;
  readonly #onMoved: () => void;
  readonly #onVanished: () => void;
  #pumping = false;
  /** Somebody has asked for a round while one was under way. */
  #again = false;
  #growAt = 0;
  #cancelTimer: (() => void) | undefined;
  #retryMs = RETRY_FIRST_MS;
  #retryAt = 0;

  constructor(parts: {
    node: NodeKnowledge;
    cgroup: CgroupPort;
    clock: Clock;
    observer: Observer;
    updates: RuntimeUpdates;
    /** Called after each container that was read back. */
    onMoved: () => void;
    /** After a container that ran was found without a cgroup: it has stopped, whatever events say. */
    onVanished: () => void;
  }) {
    this.#node = parts.node;
    this.#cgroup = parts.cgroup;
    this.#clock = parts.clock;
    this.#observer = parts.observer;
    this.#updates = parts.updates;
    this.#onMoved = parts.onMoved;
    this.#onVanished = parts.onVanished;
  }

  /** Computes every wanted mask anew, from memory. */
  compute(): void {
    const pool = this.#node.pool();
    for (const container of this.#node.containers.values()) container.wanted = this.#node.wantedMask(container, pool);
  }

  /** Computes, and sees to it that the kernel follows. */
  refresh(): void {
    this.compute();
    this.kick();
  }

  kick(): void {
    if (this.#pumping) this.#again = true;
    else void this.#pump();
  }

  /** Something may have changed its mask: it is read again, soon. What was last read stays until then. */
  doubt(container: ContainerRecord): void {
    container.stale = true;
    this.kick();
  }

  /** Reads the kernel's mask of a container into its record. @returns false where it has no cgroup, or none that can be read. */
  look(container: ContainerRecord): boolean {
    try {
      return this.#read(container);
    } catch (cause) {
      if (!(cause instanceof CgroupFault)) throw cause;
      container.problem = cause.message;
      return false;
    }
  }

  /** @throws CgroupFault where there is a cgroup that cannot be read: what was last read stays. */
  #read(container: ContainerRecord): boolean {
    if (container.cgroup === undefined) return false;
    const reading = this.#cgroup.read(container.cgroup);
    container.stale = false;
    container.readAt = this.#clock.unix();
    if (reading === undefined) {
      container.own = undefined;
      container.effective = undefined;
      if (container.phase !== "running") return false;
      container.phase = nextPhase(container.phase, "unlisted");
      this.#onVanished();
      return false;
    }
    container.own = known(reading.own, container.wanted);
    container.effective = known(reading.effective, container.wanted);
    return true;
  }

  /**
   * Writes the wanted mask by the file lever where it is needed, and reads it back. Synchronous.
   * @param isFresh it was read in this turn of the loop, or nearly.
   */
  settle(container: ContainerRecord, grow = true, isFresh = false): Settled {
    try {
      if (!isFresh && !this.#read(container)) return "absent";
    } catch (cause) {
      if (!(cause instanceof CgroupFault)) throw cause;
      container.problem = cause.message;
      return this.#isOffOthers(container) ? "absent" : this.#wrong(container, container.wanted, cause.message);
    }
    try {
      if (container.own === undefined) return "absent";
      const { wanted, cgroup } = container;
      if (wanted === undefined || cgroup === undefined) return "absent";
      if (this.#node.isTooWide(container) || (grow && this.#node.isTooNarrow(container))) {
        if (this.#node.levers.masks === "file") this.#write(container, cgroup, wanted);
        else this.#updates.queue(container);
      }
      if (this.#node.isTooWide(container)) return this.#wrong(container, wanted, "the kernel keeps it there");
      if (container.phase === "running" && !this.#updates.isStored(container)) this.#updates.follow(container);
      container.problem = "";
      return "right";
    } catch (cause) {
      if (!(cause instanceof CgroupFault)) throw cause;
      if (cause.code === "gone") return "absent";
      return this.#wrong(container, container.wanted, cause.message);
    }
  }

  /** What cannot be read is where it was read last; what never was, where the runtime made it. */
  #isOffOthers(container: ContainerRecord): boolean {
    const { effective, sent, stored, wanted } = container;
    if (effective !== undefined) return !this.#node.isTooWide(container);
    return wanted === undefined || (sent ?? stored)?.isSubsetOf(wanted) === true;
  }

  /**
   * A cgroup namespace's root is not for those who live in it: cgroup2 that is mounted with `nsdelegate`, as systemd does, gives EPERM for
   * the files of this agent's own container (Documentation/admin-guide/cgroup-v2.rst, Delegation Containment). The runtime, which lives outside, writes them.
   */
  #write(container: ContainerRecord, cgroup: string, wanted: CpuSet): void {
    try {
      this.#cgroup.write(cgroup, wanted);
    } catch (cause) {
      if (!(cause instanceof CgroupFault) || cause.code !== "denied" || container.role !== "own") throw cause;
      container.byRuntimeOnly = true;
      this.#updates.queue(container);
      return;
    }
    container.byRuntimeOnly = false;
    container.sent = wanted;
    this.look(container);
  }

  #wrong(container: ContainerRecord, wanted: CpuSet | undefined, why: string): Settled {
    // With the runtime lever the write is on its way; that is no failure yet.
    if (this.#node.levers.masks === "runtime") return "wrong";
    container.problem = `Cannot move it to CPUs ${wanted?.toString() ?? ""}: it runs on ${container.effective?.toString() ?? "unknown CPUs"}; ${why}`;
    this.#observer.count("maskFailures");
    return "wrong";
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    this.#again = false;
    // Whoever kicks may be a hook, which waits for no file.
    await this.#clock.yield();
    try {
      let slice = this.#clock.now();
      let failed = false;
      const { shrinks, growths } = this.#due();
      for (const container of [...shrinks, ...growths]) {
        // A Synchronize may have replaced it while this loop let others in.
        if (this.#node.containers.get(container.ref.id) !== container) continue;
        const before = container.effective;
        const settled = this.settle(container, this.#mayGrow(container) && this.#clock.now() >= this.#growAt);
        failed ||= settled === "wrong";
        if (before === undefined || container.effective?.equals(before) !== true || settled === "wrong")
          this.#onMoved();
        if (this.#clock.now() - slice >= SLICE_MS) {
          await this.#clock.yield();
          slice = this.#clock.now();
        }
      }
      this.#plan(failed, new Set(growths));
    } finally {
      this.#pumping = false;
      this.#onMoved();
    }
    if (this.#again) this.kick();
  }

  /** Growths where their time has come. */
  #due(): { shrinks: ContainerRecord[]; growths: ContainerRecord[] } {
    const { shrinks, growths } = this.#misplaced();
    if (growths.length > 0 && this.#growAt !== 0 && this.#clock.now() >= this.#growAt) {
      this.#growAt = 0;
      return { shrinks, growths };
    }
    if (growths.length === 0) this.#growAt = 0;
    else if (this.#growAt === 0) this.#growAt = this.#clock.now() + GROWTH_DELAY_MS;
    return { shrinks, growths: [] };
  }

  /** Into the shared pool nobody grows before the runtime's list of containers is known whole: who is not in it yet may hold CPUs that look free. */
  #mayGrow({ role }: ContainerRecord): boolean {
    return this.#node.synchronized || role === "claim";
  }

  /** A container that was never read counts as a shrink. */
  #misplaced(): { shrinks: ContainerRecord[]; growths: ContainerRecord[] } {
    const now = this.#clock.now();
    const shrinks: ContainerRecord[] = [];
    const growths: ContainerRecord[] = [];
    for (const container of this.#node.containers.values()) {
      if (container.cgroup === undefined || container.phase === "created") continue;
      // A runtime that has lost sight of a container calls it stopped, too: where the kernel had it last, it counts until its cgroup is gone.
      if (container.phase === "stopped" && !this.#node.isTooWide(container)) continue;
      if (container.wanted === undefined) {
        if (container.stale) this.look(container);
        continue;
      }
      if (container.stale || container.effective === undefined || this.#node.isTooWide(container)) {
        if (container.problem === "" || now >= this.#retryAt) shrinks.push(container);
      } else if (this.#mayGrow(container) && this.#node.isTooNarrow(container)) {
        if (container.problem === "" || now >= this.#retryAt) growths.push(container);
      }
    }
    return { shrinks, growths };
  }

  /** @param grown tried in this round. What came up during it, or was not due when it began, has a time of its own. */
  #plan(failed: boolean, grown: ReadonlySet<ContainerRecord>): void {
    const now = this.#clock.now();
    const grows = this.#misplaced().growths.some((one) => !grown.has(one));
    if (grows && this.#growAt === 0) this.#growAt = now + GROWTH_DELAY_MS;
    // Those whose time to be tried again had not come are not in this round's work, and are not forgotten.
    const failing = [...this.#node.containers.values()].filter((one) => one.problem !== "");
    const wide = failing.some((one) => this.#node.isTooWide(one));
    const again = failed || wide || failing.some((one) => this.#node.isTooNarrow(one));
    if (!again) this.#retryMs = RETRY_FIRST_MS;
    else if (this.#retryAt <= now && (failed || wide)) {
      this.#retryAt = now + this.#retryMs;
      this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
    }
    // A growth that may be tried again waits for its turn among growths.
    const retryAt = again && this.#retryAt > now ? this.#retryAt : Infinity;
    const due = Math.min(retryAt, grows ? Math.max(this.#growAt, now) : Infinity);
    this.#cancelTimer?.();
    this.#cancelTimer = due === Infinity ? undefined : this.#clock.later(due - now, () => this.kick());
  }

  stop(): void {
    this.#cancelTimer?.();
  }
}

/** The same object for the same CPUs: with hundreds of containers most comparisons then need no arithmetic. */
function known(read: CpuSet, wanted: CpuSet | undefined): CpuSet {
  return wanted?.equals(read) === true ? wanted : read;
}
