type Init = Iterable<readonly [string, string]> | Readonly<Record<string, string>>;

/**
 * As much of the Fetch standard's `Headers` as Connect uses. Put in its place in the bundles, since Node loads the whole of undici for its own, 1.4 MB a process.
 */
class LightHeaders {
  readonly #all = new Map<string, string>();

  constructor(init?: Init) {
    if (init === undefined) return;
    const entries = Symbol.iterator in init ? (init as Iterable<readonly [string, string]>) : Object.entries(init);
    for (const [name, value] of entries) this.append(name, value);
  }

  append(name: string, value: string): void {
    const had = this.get(name);
    this.set(name, had === null ? value : `${had}, ${value}`);
  }

  set(name: string, value: string | number): void {
    this.#all.set(name.toLowerCase(), String(value));
  }

  get(name: string): string | null {
    return this.#all.get(name.toLowerCase()) ?? null;
  }

  has(name: string): boolean {
    return this.#all.has(name.toLowerCase());
  }

  delete(name: string): void {
    this.#all.delete(name.toLowerCase());
  }

  forEach(each: (value: string, name: string) => void): void {
    for (const [name, value] of this.#all) each(value, name);
  }

  entries(): IterableIterator<[string, string]> {
    return this.#all.entries();
  }

  keys(): IterableIterator<string> {
    return this.#all.keys();
  }

  values(): IterableIterator<string> {
    return this.#all.values();
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }
}

export { LightHeaders as Headers };
