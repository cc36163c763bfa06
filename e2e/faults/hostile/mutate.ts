import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";

/** Runs of a property: so many in CI, thirty times as many with `--full`. */
export function runs(n: number): { numRuns: number; seed?: number } {
  const seed = process.env["DRACPU_SEED"];
  return {
    numRuns: process.env["DRACPU_FULL"] === undefined ? n : n * 30,
    ...(seed === undefined ? {} : { seed: Number(seed) }),
  };
}

/** The files of a folder of the corpus, by name; each holds bytes as hexadecimal digits, with `#` before comments. */
export function corpus(folder: string): Map<string, Uint8Array> {
  const dir = join(import.meta.dirname, "corpus", folder);
  return new Map(
    readdirSync(dir)
      .sort()
      .map((name) => {
        const digits = readFileSync(join(dir, name), "utf8").replace(/#.*/g, "").replace(/\s/g, "");
        return [name, new Uint8Array(Buffer.from(digits, "hex"))];
      }),
  );
}

const edit = fc.record({
  at: fc.nat(),
  what: fc.constantFrom("flip", "cut", "double", "insert", "end"),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
});

/** One of the seeds, with a few bytes changed, cut out, doubled or put in; or bytes of no seed. */
export function mutated(seeds: readonly Uint8Array[]): fc.Arbitrary<Uint8Array> {
  const made = fc.tuple(fc.constantFrom(...seeds), fc.array(edit, { maxLength: 4 })).map(([seed, edits]) => {
    let bytes = Buffer.from(seed);
    for (const { at, what, bytes: with_ } of edits) {
      const n = bytes.length === 0 ? 0 : at % bytes.length;
      const head = bytes.subarray(0, n);
      const tail = bytes.subarray(n);
      if (what === "flip")
        bytes = Buffer.concat([head, tail.subarray(0, 1).map((one) => one ^ (with_[0] ?? 1)), tail.subarray(1)]);
      else if (what === "cut") bytes = Buffer.concat([head, tail.subarray(with_[0])]);
      else if (what === "double") bytes = Buffer.concat([head, tail, tail]);
      else if (what === "insert") bytes = Buffer.concat([head, with_, tail]);
      else bytes = Buffer.from(head);
    }
    return new Uint8Array(bytes);
  });
  return fc.oneof({ weight: 4, arbitrary: made }, { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) });
}
