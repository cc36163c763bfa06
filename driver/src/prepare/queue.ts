/** One task at a time per key, in the order of arrival; tasks of different keys run at once. */
export class PerKey {
  readonly #tails = new Map<string, Promise<unknown>>();

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

/** Prepares that wait for CPUs, first come first. Each release lets the first look again; who is served lets the next look. */
export class Shortage {
  readonly #waiting: (() => void)[] = [];

  /** True where nobody who came earlier is waiting. */
  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  released(): void {
    for (const look of [...this.#waiting]) look();
  }

  /** Calls `decide` now and after each release, until it gives an answer or `signal` aborts; in the latter case `undefined`. */
  wait<T>(decide: () => T | undefined, signal: AbortSignal): Promise<T | undefined> {
    return new Promise((resolve) => {
      const finish = (answer: T | undefined): void => {
        const at = this.#waiting.indexOf(look);
        if (at >= 0) this.#waiting.splice(at, 1);
        signal.removeEventListener("abort", onAbort);
        resolve(answer);
        if (answer !== undefined) this.released();
      };
      const onAbort = (): void => finish(undefined);
      const look = (): void => {
        if (this.#waiting[0] !== look) return;
        const answer = decide();
        if (answer !== undefined) finish(answer);
      };
      this.#waiting.push(look);
      signal.addEventListener("abort", onAbort, { once: true });
      if (signal.aborted) finish(undefined);
      else look();
    });
  }
}
