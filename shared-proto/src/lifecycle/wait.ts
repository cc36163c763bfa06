/** Node's timers fire at once beyond this. */
const LONGEST_MS = 2 ** 31 - 1;

/** Resolves after `ms`, or at once when `signal` aborts; never rejects. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, Math.min(ms, LONGEST_MS));
    signal.addEventListener("abort", done, { once: true });
  });
}

/** Waits that double from `first` to `max` milliseconds, each between 75 and 125 % of itself. */
export class Backoff {
  readonly #first: number;
  readonly #max: number;
  readonly #random: () => number;
  #next: number;

  constructor(first: number, max: number, random: () => number = Math.random) {
    this.#first = first;
    this.#max = max;
    this.#random = random;
    this.#next = first;
  }

  reset(): void {
    this.#next = this.#first;
  }

  nextMs(): number {
    const ms = this.#next * (0.75 + this.#random() / 2);
    this.#next = Math.min(this.#next * 2, this.#max);
    return ms;
  }
}
