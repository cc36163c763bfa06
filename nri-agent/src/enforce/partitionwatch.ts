import type { CgroupPort, Clock } from "./ports.ts";

/** Another program that fights for a partition is answered this often at first, and less often the longer it does. */
const PAUSES_MS = [100, 200, 400, 800] as const;

/** Follows what the kernel announces of partitions, and tells of several at once. */
export class PartitionWatch {
  readonly #cgroup: CgroupPort;
  readonly #clock: Clock;
  readonly #tell: (changed: ReadonlySet<string>) => void;
  readonly #followed = new Map<string, () => void>();
  #changed = new Set<string>();
  /** Index of the pause that holds now. */
  #pause = 0;
  /** Ends the wait for the next telling, or for the end of the pause after one. */
  #cancel: (() => void) | undefined;

  constructor({ cgroup, clock }: { cgroup: CgroupPort; clock: Clock }, tell: (changed: ReadonlySet<string>) => void) {
    this.#cgroup = cgroup;
    this.#clock = clock;
    this.#tell = tell;
  }

  /** These from now on, and no others. What cannot be watched is tried again at the next call. */
  follow(paths: ReadonlySet<string>): void {
    for (const [path, unfollow] of this.#followed) {
      if (paths.has(path)) continue;
      unfollow();
      this.#followed.delete(path);
    }
    for (const path of paths) {
      if (this.#followed.has(path)) continue;
      const unfollow = this.#cgroup.watchPartition(path, () => this.#announced(path));
      if (unfollow !== undefined) this.#followed.set(path, unfollow);
    }
  }

  stop(): void {
    this.follow(new Set());
    this.#cancel?.();
  }

  #announced(path: string): void {
    this.#changed.add(path);
    this.#cancel ??= this.#clock.later(0, () => this.#tellAll());
  }

  #tellAll(): void {
    const changed = this.#changed;
    this.#changed = new Set();
    this.#tell(changed);
    this.#cancel = this.#clock.later(PAUSES_MS[this.#pause] ?? 0, () => {
      this.#cancel = undefined;
      if (this.#changed.size === 0) {
        this.#pause = 0;
        return;
      }
      this.#pause = Math.min(this.#pause + 1, PAUSES_MS.length - 1);
      this.#tellAll();
    });
  }
}
