import { DiskFault } from "@dracpu/shared-proto/disk/whole.ts";

/** Well inside of a Prepare's 40 s, and of what the kubelet waits for an Unprepare. */
const WAIT_MS = 20_000;
/** Node does four things of a file system at once. One is left for the checkpoint, which lies elsewhere. */
const AT_ONCE = 3;

interface Turn {
  readonly key: string;
  readonly begin: () => void;
}

/**
 * What is done in a directory whose file system may hang (a network mount, a failing disk). Nobody waits for longer than a bound; what has begun by then cannot be
 * stopped and keeps its turn until it ends, so that whatever comes later for the same key is done after it.
 */
export class Turns {
  readonly #directory: string;
  readonly #waitMs: number;
  readonly #waiting: Turn[] = [];
  readonly #busy = new Set<string>();

  constructor(directory: string, waitMs = WAIT_MS) {
    this.#directory = directory;
    this.#waitMs = waitMs;
  }

  /** @param what with its path, as in `write /var/run/cdi/x.json`. @throws DiskFault where it is not done in time; what `work` throws. */
  run<T>(key: string, what: string, work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const turn: Turn = {
        key,
        begin: () => {
          void work()
            .then(resolve, reject)
            .finally(() => {
              clearTimeout(timer);
              this.#busy.delete(key);
              this.#next();
            });
        },
      };
      const timer = setTimeout(() => {
        const at = this.#waiting.indexOf(turn);
        if (at >= 0) this.#waiting.splice(at, 1);
        const why = `it is not done after ${this.#waitMs / 1000} s; the file system of ${this.#directory} hangs`;
        reject(new DiskFault("io", this.#directory, `Cannot ${what}: ${why}`));
      }, this.#waitMs);
      this.#waiting.push(turn);
      this.#next();
    });
  }

  #next(): void {
    while (this.#busy.size < AT_ONCE) {
      const at = this.#waiting.findIndex(({ key }) => !this.#busy.has(key));
      const [turn] = at < 0 ? [] : this.#waiting.splice(at, 1);
      if (turn === undefined) return;
      this.#busy.add(turn.key);
      turn.begin();
    }
  }
}
