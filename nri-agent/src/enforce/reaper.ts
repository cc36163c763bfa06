import type { ContainerRecord } from "../masks/container.ts";
import type { NodeKnowledge } from "./node.ts";
import type { Partitioner } from "./partitioner.ts";
import { CgroupFault, type CgroupPort, type Clock } from "./ports.ts";

const FIRST_MS = 20;
const MAX_MS = 500;
const SLICE_MS = 1;
/** Between the creation of a container and its start the kubelet does nothing of its own. */
const STARTS_WITHIN_MS = 120_000;

/**
 * Forgets containers when the kernel says that they are gone, never on an event's word: a container is gone when its
 * cgroup, and all below it, holds no process. While something is expected to go, the cgroups are asked again and again
 * (from {@link FIRST_MS} to {@link MAX_MS}); otherwise nothing runs.
 */
export class Reaper {
  readonly #node: NodeKnowledge;
  readonly #cgroup: CgroupPort;
  readonly #partitions: Partitioner;
  readonly #clock: Clock;
  readonly #onGone: (gone: readonly ContainerRecord[]) => void;
  #cancelTimer: (() => void) | undefined;
  #waitMs = FIRST_MS;
  #passedAt = -Infinity;
  #isPassing = false;
  #isStopped = false;
  /** Somebody was told of while a pass went on. */
  #isExpected = false;

  constructor(parts: {
    node: NodeKnowledge;
    cgroup: CgroupPort;
    partitions: Partitioner;
    clock: Clock;
    onGone: (gone: readonly ContainerRecord[]) => void;
  }) {
    this.#node = parts.node;
    this.#cgroup = parts.cgroup;
    this.#partitions = parts.partitions;
    this.#clock = parts.clock;
    this.#onGone = parts.onGone;
  }

  /** Something may go soon. What comes within {@link FIRST_MS} is asked for together: a node that is drained has a hundred containers in their grace. */
  expect(): void {
    this.#waitMs = FIRST_MS;
    if (this.#isPassing) this.#isExpected = true;
    else this.#schedule(Math.max(0, this.#passedAt + FIRST_MS - this.#clock.now()));
  }

  /** Asks of the containers that may be gone, a slice at a time. */
  async #pass(): Promise<void> {
    const gone: ContainerRecord[] = [];
    let waiting = 0;
    let slice = this.#clock.now();
    for (const container of [...this.#node.containers.values()]) {
      if (!this.#mayGo(container)) continue;
      if (this.#lives(container)) waiting += 1;
      else gone.push(container);
      if (this.#clock.now() - slice < SLICE_MS) continue;
      await this.#clock.yield();
      slice = this.#clock.now();
    }
    // Meanwhile one may have been started, or another life of the list has begun.
    this.#forget(gone.filter((one) => this.#node.containers.get(one.ref.id) === one && this.#mayGo(one)));
    this.#passedAt = this.#clock.now();
    this.#isPassing = false;
    if (waiting === 0 && !this.#isExpected) return;
    this.#waitMs = this.#isExpected ? FIRST_MS : Math.min(this.#waitMs * 2, MAX_MS);
    this.#isExpected = false;
    this.#schedule(this.#waitMs);
  }

  #forget(gone: readonly ContainerRecord[]): void {
    for (const container of gone) {
      this.#node.containers.delete(container.ref.id);
      this.#partitions.forget(container);
    }
    for (const uid of this.#node.byMasks) if (this.#node.containersOf(uid).length === 0) this.#node.byMasks.delete(uid);
    if (gone.length > 0) this.#onGone(gone);
  }

  /**
   * A container whose start fails before its task is made has no event but its removal, which the kubelet leaves to the end of its pod. One that is started after all is
   * known again by its StartContainer.
   *
   * Without a cgroup to ask, the runtime's removal has to do: it removes only what has no process. */
  #lives(container: ContainerRecord): boolean {
    const isCreated = container.phase === "created";
    if (isCreated && this.#clock.now() - container.createdAt < STARTS_WITHIN_MS) return true;
    if (container.cgroup === undefined) return container.phase !== "stopped" && !isCreated;
    try {
      return this.#cgroup.populated(container.cgroup);
    } catch (cause) {
      if (!(cause instanceof CgroupFault)) throw cause;
      // Not known to be gone, so it lives.
      container.problem = cause.message;
      return true;
    }
  }

  /** Stopped by the runtime's word, or running for a claim that is being released: the kernel is asked. */
  #mayGo(container: ContainerRecord): boolean {
    if (container.stopping || container.phase === "stopped" || container.phase === "created") return true;
    return (
      container.phase === "running" &&
      container.uses.some((use) => this.#node.claim(use.claimUid)?.state === "draining")
    );
  }

  #schedule(ms: number): void {
    this.#cancelTimer?.();
    if (this.#isStopped) return;
    this.#cancelTimer = this.#clock.later(ms, () => {
      this.#isPassing = true;
      void this.#pass();
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#cancelTimer?.();
  }
}
