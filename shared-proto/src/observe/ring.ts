/**
 * A bounded ring of numbered entries for any number of readers. Adding never waits and never allocates beyond the bound; a reader that
 * fell behind sees that by `oldestSeq`.
 */
export class Ring<T> {
  readonly #capacity: number;
  readonly #entries: T[] = [];
  #last = 0n;
  readonly #listeners = new Set<() => void>();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Number of the newest entry; 0 before the first. */
  get lastSeq(): bigint {
    return this.#last;
  }

  /** @param make gets the entry's number. */
  push(make: (seq: bigint) => T): void {
    this.#last += 1n;
    this.#entries.push(make(this.#last));
    if (this.#entries.length > this.#capacity) this.#entries.shift();
    for (const listener of this.#listeners) listener();
  }

  /** Entries after `seq` that are still kept, and the oldest number kept. */
  after(seq: bigint): { events: readonly T[]; oldestSeq: bigint } {
    const oldestSeq = this.#last - BigInt(this.#entries.length) + 1n;
    const skip = seq < oldestSeq ? 0 : Number(seq - oldestSeq + 1n);
    return { events: this.#entries.slice(skip), oldestSeq };
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
