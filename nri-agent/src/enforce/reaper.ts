import type { ContainerRecord } from "../masks/container.ts";
import type { NodeKnowledge } from "./node.ts";
import type { Partitioner } from "./partitioner.ts";
import { CgroupFault, type CgroupPort, type Clock } from "./ports.ts";

const FIRST_MS = 20;
const MAX_MS = 500;
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

  /** Something may go soon. */
  expect(): void {
    this.#waitMs = FIRST_MS;
    this.#schedule(0);
  }

  /** Asks now, of the containers that may be gone. @returns those that still live. */
  reap(): ContainerRecord[] {
    const gone: ContainerRecord[] = [];
    const waiting: ContainerRecord[] = [];
    for (const container of this.#node.containers.values()) {
      if (!this.#mayGo(container)) continue;
      if (this.#lives(container)) waiting.push(container);
      else gone.push(container);
    }
    for (const container of gone) {
      this.#node.containers.delete(container.ref.id);
      this.#partitions.forget(container);
    }
    for (const uid of this.#node.byMasks) if (this.#node.containersOf(uid).length === 0) this.#node.byMasks.delete(uid);
    if (gone.length > 0) this.#onGone(gone);
    return waiting;
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
    this.#cancelTimer = this.#clock.later(ms, () => {
      const waiting = this.reap();
      if (waiting.length === 0) return;
      this.#waitMs = Math.min(this.#waitMs * 2, MAX_MS);
      this.#schedule(this.#waitMs);
    });
  }

  stop(): void {
    this.#cancelTimer?.();
  }
}
