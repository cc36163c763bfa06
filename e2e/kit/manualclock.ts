import type { Clock } from "@dracpu/nri-agent/enforce/ports.ts";

interface Timer {
  readonly at: number;
  readonly order: number;
  readonly task: () => void;
}

const EPOCH_MS = 1_700_000_000_000;

/** Time that stands still until a test moves it. Who yields goes on when the test lets things settle. */
export class ManualClock implements Clock {
  #now = 1000;
  #order = 0;
  readonly #timers = new Set<Timer>();
  #yielding: (() => void)[] = [];

  now(): number {
    return this.#now;
  }

  unix(): number {
    return EPOCH_MS + this.#now;
  }

  later(ms: number, task: () => void): () => void {
    const timer = { at: this.#now + ms, order: this.#order++, task };
    this.#timers.add(timer);
    return () => void this.#timers.delete(timer);
  }

  yield(): Promise<void> {
    return new Promise((resolve) => this.#yielding.push(resolve));
  }

  /** Work that takes so long. Who became due meanwhile has its turn when that work lets others in. */
  work(ms: number): void {
    this.#now += ms;
  }

  /** Everything that waits for nothing but its turn is done. */
  async settle(): Promise<void> {
    for (let rounds = 0; ; rounds++) {
      // All promises that can go on do so before the next turn of the loop.
      await new Promise((resolve) => setImmediate(resolve));
      const yielding = this.#yielding;
      this.#yielding = [];
      for (const resolve of yielding) resolve();
      const fired = this.#fire(this.#now);
      if (yielding.length === 0 && !fired) return;
      if (rounds > 10_000) throw new Error("it never settles");
    }
  }

  /** Lets time pass, timer by timer. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await this.settle();
      const next = Math.min(...[...this.#timers].map((timer) => timer.at));
      if (next > end) break;
      this.#now = Math.max(next, this.#now);
    }
    this.#now = end;
    await this.settle();
  }

  /** Nobody waits any more: the process that set these timers is dead. */
  kill(): void {
    this.#timers.clear();
    this.#yielding = [];
  }

  #fire(until: number): boolean {
    const due = [...this.#timers].filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at || a.order - b.order);
    for (const timer of due) if (this.#timers.delete(timer)) timer.task();
    return due.length > 0;
  }
}
