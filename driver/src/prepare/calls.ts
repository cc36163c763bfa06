import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";

/** Calls under way, for whoever wants to end without leaving one unanswered. */
export class Calls {
  readonly #underWay = new Set<Promise<unknown>>();

  async count<T>(tasks: readonly Promise<T>[]): Promise<T[]> {
    const all = Promise.all(tasks);
    this.#underWay.add(all);
    try {
      return await all;
    } finally {
      this.#underWay.delete(all);
    }
  }

  /** Resolves when those of now are answered, or after `ms`. */
  async answered(ms: number): Promise<void> {
    const enough = new AbortController();
    await Promise.race([Promise.allSettled(this.#underWay), pause(ms, enough.signal)]);
    enough.abort();
  }
}
