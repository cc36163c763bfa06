const WINDOW_MS = 60_000;

/**
 * Writes that are allowed in any minute. Each kind has one kept for it, so that a storm of one never hides another; the rest goes to whoever
 * comes first.
 */
export class Budget {
  readonly #perMinute: number;
  readonly #kinds: number;
  #taken: { readonly at: number; readonly kind: string }[] = [];

  /** @param kinds how many different ones there are. */
  constructor(perMinute: number, kinds: number) {
    this.#perMinute = perMinute;
    this.#kinds = Math.min(kinds, perMinute);
  }

  /** @param now milliseconds. @returns false where this one has to be left out. */
  take(kind: string, now: number): boolean {
    this.#taken = this.#taken.filter((one) => now - one.at < WINDOW_MS);
    const seen = new Set(this.#taken.map((one) => one.kind));
    const kept = seen.has(kind) ? Math.max(0, this.#kinds - seen.size) : 0;
    if (this.#taken.length >= this.#perMinute - kept) return false;
    this.#taken.push({ at: now, kind });
    return true;
  }
}
