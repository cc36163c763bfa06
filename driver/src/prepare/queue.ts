import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

/** One task at a time per key, in the order of arrival; tasks of different keys run at once. */
export class PerKey {
  readonly #tails = new Map<string, Promise<unknown>>();

  isBusy(key: string): boolean {
    return this.#tails.has(key);
  }

  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const mine = before.then(task, task);
    const tail = mine
      .catch(() => {
        // The caller of that task has it; the next one only waits for its end.
      })
      .finally(() => {
        if (this.#tails.get(key) === tail) this.#tails.delete(key);
      });
    this.#tails.set(key, tail);
    return mine;
  }
}

/** What a waiting Prepare waits for. */
export interface Goal {
  /** CPUs that it may take; none where it waits for something else that a release brings. */
  readonly cpus: CpuSet;
  /** It takes all of them and no others. */
  readonly fixed: boolean;
}

interface Waiter extends Goal {
  readonly look: () => void;
}

/**
 * Prepares that wait for CPUs. First come first: whoever came earlier and may take some of the same CPUs looks first; who waits for certain
 * CPUs holds up nobody who can take others. Each release lets everybody look again; so does each who leaves, served or not.
 */
export class Shortage {
  readonly #waiting: Waiter[] = [];
  #looking = false;
  #again = false;

  released(): void {
    this.#look(this.#waiting);
  }

  /** One look at a time: each may serve somebody, or find that the machine has changed, and so lead here again in the middle of a decision. */
  #look(waiters: readonly Waiter[]): void {
    this.#again = true;
    if (this.#looking) return;
    this.#looking = true;
    try {
      let these = waiters;
      while (this.#again) {
        this.#again = false;
        for (const one of [...these]) if (this.#waiting.includes(one)) one.look();
        these = this.#waiting;
      }
    } finally {
      this.#looking = false;
    }
  }

  /**
   * Calls `decide` now and after each release, until it gives an answer or `signal` aborts; in the latter case `undefined`.
   *
   * @param decide is told the CPUs that others came earlier for.
   */
  wait<T>(goal: Goal, decide: (promised: CpuSet) => T | undefined, signal: AbortSignal): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const finish = (answer: T | undefined): void => {
        leave();
        resolve(answer);
        this.released();
      };
      const onAbort = (): void => finish(undefined);
      const leave = (): void => {
        const at = this.#waiting.indexOf(me);
        if (at >= 0) this.#waiting.splice(at, 1);
        signal.removeEventListener("abort", onAbort);
      };
      const look = (): void => {
        const earlier = this.#waiting.slice(0, this.#waiting.indexOf(me));
        if (earlier.some((one) => !one.fixed && one.cpus.overlaps(goal.cpus))) return;
        try {
          const answer = decide(CpuSet.union(earlier.filter((one) => one.fixed).map((one) => one.cpus)));
          if (answer !== undefined) finish(answer);
        } catch (cause) {
          leave();
          reject(cause);
          this.released();
        }
      };
      const me: Waiter = { ...goal, look };
      this.#waiting.push(me);
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) finish(undefined);
      else this.#look([me]);
    });
  }
}
