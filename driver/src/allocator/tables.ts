/**
 * Costs by amount: entry `at + t` is the least cost of taking `t` CPUs somewhere, Infinity in {@link high} where that cannot be. A cost
 * is three numbers, compared in order. Tables lie one after the other in growing arrays, so that a search allocates nothing.
 */
export class Tables {
  high = new Float64Array(4096);
  middle = new Float64Array(4096);
  low = new Float64Array(4096);
  /** What the second of two joined tables gives of the amount. */
  second = new Int32Array(4096);
  #used = 0;

  clear(): void {
    this.#used = 0;
  }

  /** Room for a table of `length` entries, all impossible. */
  open(length: number): number {
    const at = this.#used;
    this.#used += length;
    if (this.#used > this.high.length) {
      const size = Math.max(this.#used, this.high.length * 2);
      this.high = grown(this.high, new Float64Array(size));
      this.middle = grown(this.middle, new Float64Array(size));
      this.low = grown(this.low, new Float64Array(size));
      this.second = grown(this.second, new Int32Array(size));
    }
    this.high.fill(Infinity, at, this.#used);
    return at;
  }
}

/** A table of amounts 0 … `most`. */
export interface Table {
  readonly at: number;
  readonly most: number;
}

function grown<A extends Float64Array | Int32Array>(from: A, to: A): A {
  to.set(from);
  return to;
}
