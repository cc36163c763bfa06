/** Largest CPU id accepted from any text: the kernel's CONFIG_NR_CPUS maximum is 8192 on x86; twice that leaves room. */
export const MAX_CPU_ID = 16383;

/** Thrown by {@link CpuSet.parse}; `text` is what was given, cut to 80 characters. */
export class CpuListError extends Error {
  override readonly name = "CpuListError";
  readonly text: string;
  constructor(text: string, why: string) {
    const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text;
    super(`Cannot read ${JSON.stringify(shown)} as a CPU list: ${why}; wanted a list such as "0-3,8"`);
    this.text = shown;
  }
}

/**
 * An immutable set of CPU ids (0 … {@link MAX_CPU_ID}).
 *
 * Text form is the kernel's list format (Documentation/admin-guide/cputopology.rst): ascending, ranges collapsed, `"0-3,8"`;
 * the empty set is `""`. Strings exist only on the wire and in files; inside the programs a set is always a `CpuSet`.
 */
export class CpuSet {
  static readonly empty: CpuSet = new CpuSet(0n);
  readonly #bits: bigint;
  #size = -1;
  #text: string | undefined;

  private constructor(bits: bigint) {
    this.#bits = bits;
  }

  /** @throws RangeError when an id is not an integer in 0 … {@link MAX_CPU_ID}. */
  static of(...cpus: readonly number[]): CpuSet {
    return CpuSet.from(cpus);
  }

  /** @throws RangeError when an id is not an integer in 0 … {@link MAX_CPU_ID}. */
  static from(cpus: Iterable<number>): CpuSet {
    let bits = 0n;
    for (const cpu of cpus) {
      if (!Number.isInteger(cpu) || cpu < 0 || cpu > MAX_CPU_ID) throw new RangeError(`CPU id out of range: ${cpu}`);
      bits |= 1n << BigInt(cpu);
    }
    return new CpuSet(bits);
  }

  /** All ids from `first` to `last`, both included. */
  static range(first: number, last: number): CpuSet {
    if (first > last) return CpuSet.empty;
    return new CpuSet(rangeBits(first, last));
  }

  /**
   * Reads the kernel's list format. Surrounding white space and a trailing newline are allowed, `""` is the empty set;
   * strides (`0-10:2/4`), signs and inner white space are not.
   *
   * @throws CpuListError
   */
  static parse(text: string): CpuSet {
    const trimmed = text.trim();
    if (trimmed === "") return CpuSet.empty;
    let bits = 0n;
    for (const part of trimmed.split(",")) {
      const m = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
      if (m === null)
        throw new CpuListError(text, `${JSON.stringify(part.slice(0, 20))} is neither a number nor a range`);
      const first = Number(m[1]);
      const last = m[2] === undefined ? first : Number(m[2]);
      if (last < first) throw new CpuListError(text, `range ${part} runs backwards`);
      if (last > MAX_CPU_ID) throw new CpuListError(text, `CPU ${last} is above ${MAX_CPU_ID}`);
      bits |= rangeBits(first, last);
    }
    return new CpuSet(bits);
  }

  static union(sets: Iterable<CpuSet>): CpuSet {
    let bits = 0n;
    for (const s of sets) bits |= s.#bits;
    return new CpuSet(bits);
  }

  get size(): number {
    if (this.#size < 0) this.#size = popcount(this.#bits);
    return this.#size;
  }

  get isEmpty(): boolean {
    return this.#bits === 0n;
  }

  has(cpu: number): boolean {
    return cpu >= 0 && ((this.#bits >> BigInt(cpu)) & 1n) === 1n;
  }

  union(other: CpuSet): CpuSet {
    return new CpuSet(this.#bits | other.#bits);
  }

  intersect(other: CpuSet): CpuSet {
    if (this === other) return this;
    return new CpuSet(this.#bits & other.#bits);
  }

  minus(other: CpuSet): CpuSet {
    return new CpuSet(this.#bits & ~other.#bits);
  }

  equals(other: CpuSet): boolean {
    return this === other || this.#bits === other.#bits;
  }

  isSubsetOf(other: CpuSet): boolean {
    return this === other || (this.#bits & ~other.#bits) === 0n;
  }

  overlaps(other: CpuSet): boolean {
    return (this.#bits & other.#bits) !== 0n;
  }

  /** Lowest id, or -1 for the empty set. */
  get first(): number {
    for (const cpu of this) return cpu;
    return -1;
  }

  /** The `n` lowest ids; the whole set where it has fewer. */
  lowest(n: number): CpuSet {
    if (n >= this.size) return this;
    const out: number[] = [];
    for (const cpu of this) {
      if (out.length >= n) break;
      out.push(cpu);
    }
    return CpuSet.from(out);
  }

  /** Ids in ascending order. */
  *[Symbol.iterator](): Generator<number, void, undefined> {
    let bits = this.#bits;
    for (let base = 0; bits !== 0n; base += 32, bits >>= 32n) {
      let word = Number(bits & 0xffffffffn);
      while (word !== 0) {
        const bit = 31 - Math.clz32(word & -word);
        yield base + bit;
        word &= word - 1;
      }
    }
  }

  toArray(): number[] {
    return [...this];
  }

  /** The set as an integer whose bit *n* is CPU *n*; equal sets have equal keys, so it serves as a Map key. */
  get key(): bigint {
    return this.#bits;
  }

  toString(): string {
    return (this.#text ??= listOf(this.#bits));
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `CpuSet(${this.toString()})`;
  }
}

function rangeBits(first: number, last: number): bigint {
  return ((1n << BigInt(last - first + 1)) - 1n) << BigInt(first);
}

function popcount(bits: bigint): number {
  let n = 0;
  for (let rest = bits; rest !== 0n; rest >>= 32n) {
    let w = Number(rest & 0xffffffffn);
    w -= (w >>> 1) & 0x55555555;
    w = (w & 0x33333333) + ((w >>> 2) & 0x33333333);
    n += (((w + (w >>> 4)) & 0x0f0f0f0f) * 0x01010101) >>> 24;
  }
  return n;
}

/** Word by word, and whole words at once: masks of hundreds of CPUs are written for every container of a node. */
function listOf(bits: bigint): string {
  const parts: string[] = [];
  let first = -1;
  const end = (last: number): void => {
    if (first >= 0) parts.push(first === last ? `${first}` : `${first}-${last}`);
    first = -1;
  };
  let base = 0;
  for (let rest = bits; rest !== 0n; rest >>= 32n, base += 32) {
    const word = Number(rest & 0xffffffffn);
    if (word === 0) end(base - 1);
    else if (word === 0xffffffff) {
      if (first < 0) first = base;
    } else {
      for (let bit = 0; bit < 32; bit++) {
        if (((word >>> bit) & 1) === 0) end(base + bit - 1);
        else if (first < 0) first = base + bit;
      }
    }
  }
  end(base - 1);
  return parts.join(",");
}
