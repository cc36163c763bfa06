import type { CgroupPort, Clock } from "./ports.ts";

/** Another program that fights for a partition is answered so often at most. */
const PAUSE_MS = 100;

/** Follows what the kernel announces of partitions, and tells of several at once. */
export class PartitionWatch {
  readonly #cgroup: CgroupPort;
  readonly #clock: Clock;
  readonly #tell: (changed: ReadonlySet<string>) => void;
  readonly #followed = new Map<string, () => void>();
  #changed = new Set<string>();
  #told = 0;
  #cancel: (() => void) | undefined;

  constructor({ cgroup, clock }: { cgroup: CgroupPort; clock: Clock }, tell: (changed: ReadonlySet<string>) => void) {
    this.#cgroup = cgroup;
    this.#clock = clock;
    this.#tell = tell;
  }

  /** These from now on, and no others. */
  follow(paths: ReadonlySet<string>): void {
    for (const [path, unfollow] of this.#followed) {
      if (paths.has(path)) continue;
      unfollow();
      this.#followed.delete(path);
    }
    for (const path of paths)
      if (!this.#followed.has(path))
        this.#followed.set(
          path,
          this.#cgroup.watchPartition(path, () => this.#announced(path)),
        );
  }

  stop(): void {
    this.follow(new Set());
    this.#cancel?.();
  }

  #announced(path: string): void {
    this.#changed.add(path);
    this.#cancel ??= this.#clock.later(Math.max(0, this.#told + PAUSE_MS - this.#clock.now()), () => {
      this.#cancel = undefined;
      this.#told = this.#clock.now();
      const changed = this.#changed;
      this.#changed = new Set();
      this.#tell(changed);
    });
  }
}
