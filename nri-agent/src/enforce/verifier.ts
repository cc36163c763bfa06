import { isWatched, nextPhase, type ContainerRecord } from "../masks/container.ts";
import type { EnforcerParts } from "./parts.ts";
import { checkPartitions, holdClaims } from "./holding.ts";
import { PartitionWatch } from "./partitionwatch.ts";
import { CgroupFault } from "./ports.ts";

/** Partitions are asked every second, one file each, whatever the kernel announces. */
const PARTITIONS_MS = 1000;
/** Every container is read back this often, though nothing was changed by us. */
const MASKS_MS = 10_000;
const SLICE_MS = 1;

/**
 * Compares what is wanted with what the kernel says, at a low rate: other programs change masks, systemd restores stored
 * ones, the kernel invalidates partitions. Who is found outside is put back, counted and reported; nothing is silent.
 */
export class Verifier {
  readonly #p: EnforcerParts;
  /** One for each loop. */
  readonly #cancels: (() => void)[] = [];
  #stopped = true;
  readonly #watch: PartitionWatch;

  constructor(parts: EnforcerParts) {
    this.#p = parts;
    this.#watch = new PartitionWatch(parts, (changed) => this.#announced(changed));
  }

  start(): void {
    this.#stopped = false;
    this.#cancels.length = 0;
    this.#every(PARTITIONS_MS, () => this.#second());
    this.#every(MASKS_MS, () => this.verify());
    this.#every(MASKS_MS, () => this.#p.foreign.look(this.#p.clock.now()));
    this.#every(MASKS_MS, () => this.#p.narrow.look());
  }

  stop(): void {
    this.#stopped = true;
    for (const cancel of this.#cancels) cancel();
    this.#watch.stop();
  }

  /** One pass over all containers. */
  async verify(): Promise<void> {
    const { node, mover, clock } = this.#p;
    if (!node.synchronized) return;
    let slice = clock.now();
    for (const container of [...node.containers.values()]) {
      this.#announce(container);
      this.check(container);
      if (clock.now() - slice >= SLICE_MS) {
        await clock.yield();
        slice = clock.now();
      }
    }
    // One that was created and never started has no event of its end.
    this.#p.reaper.expect();
    mover.kick();
  }

  /** containerd 2.1 starts a container from a checkpoint without a word. Seen twice, it is not on its way through an ordinary start. */
  #announce(container: ContainerRecord): void {
    if (container.phase !== "created" || container.cgroup === undefined) return;
    const runs = this.#runs(container.cgroup);
    if (runs && container.unannounced) {
      container.phase = nextPhase(container.phase, "post-start");
      this.#p.mover.doubt(container);
    }
    container.unannounced = runs;
  }

  #runs(cgroup: string): boolean {
    try {
      return this.#p.cgroup.populated(cgroup);
    } catch (cause) {
      if (!(cause instanceof CgroupFault)) throw cause;
      return false;
    }
  }

  /** Reads one container back, puts it right where it was right before, and says so. */
  check(container: ContainerRecord): void {
    const { node, mover, say } = this.#p;
    if (!isWatched(container)) return;
    const wasRight = !node.isTooWide(container);
    mover.look(container);
    if (!wasRight || !node.isTooWide(container)) return;
    const was = container.effective;
    if (was !== undefined && (container.role === "claim" || was.overlaps(node.heldCpus()))) {
      container.outside = true;
      say.escaped(container, was, "something else on the node changed its mask");
    }
    mover.settle(container);
    sayRepaired(this.#p, container);
    this.#p.changed();
  }

  async #second(): Promise<void> {
    const { node, machine, mover } = this.#p;
    const online = machine.online();
    if (online !== undefined && node.online?.equals(online) !== true) {
      node.online = online;
      mover.compute();
      await this.verify();
      this.#p.changed();
    }
    // With the runtime lever the repair comes by and by.
    for (const container of node.containers.values()) sayRepaired(this.#p, container);
    if (node.levers.force !== "kernel" || !node.synchronized) return;
    // Watched before it is asked: what changes in between is announced.
    this.#watch.follow(this.#p.partitions.paths);
    checkPartitions(this.#p);
    holdClaims(this.#p);
  }

  /** Most announcements are of what we did ourselves; then nothing is found. */
  #announced(changed: ReadonlySet<string>): void {
    if (this.#stopped || !this.#p.node.synchronized) return;
    try {
      checkPartitions(this.#p, (_, path) => changed.has(path));
    } catch (cause) {
      this.#failed(cause);
    }
  }

  #failed(cause: unknown): void {
    this.#p.observer.error("a pass of the verifier failed; it goes on", { cause: (cause as Error).message });
  }

  /** A pass that fails is told, and the next one comes all the same. */
  #every(ms: number, run: () => Promise<void> | void): void {
    const once = async (): Promise<void> => {
      try {
        await run();
      } catch (cause) {
        this.#failed(cause);
      }
    };
    const loop = this.#cancels.length;
    const next = (): void => {
      if (!this.#stopped) this.#cancels[loop] = this.#p.clock.later(ms, () => void once().then(next));
    };
    next();
  }
}

/** Whoever was reported outside its mask, and was read back inside, is reported once more. */
export function sayRepaired({ node, say }: EnforcerParts, container: ContainerRecord): void {
  if (!container.outside || node.isTooWide(container)) return;
  container.outside = false;
  if (container.phase === "running") say.repaired(container);
}
