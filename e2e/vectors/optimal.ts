import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Machine } from "../../driver/src/topology/machine.ts";
import type { Case } from "./cases.ts";
import { compare, quality } from "./judge.ts";

/** Cases with at most so many possible answers are compared with all of them. */
export const MOST_SETS = 2000;

/** The best quality of any answer, by trying all of them; undefined where that is too many, or none. */
export function bestQuality(machine: Machine, one: Case): readonly number[] | undefined {
  const open = CpuSet.parse(one.available).toArray();
  let sets = 1;
  for (let n = 0; n < one.take; n++) sets *= (open.length - n) / (n + 1);
  if (one.take === 0 || sets < 1 || sets > MOST_SETS) return undefined;
  let best: readonly number[] | undefined;
  const pick = (from: number, picked: readonly number[]): void => {
    if (picked.length === one.take) {
      const found = quality(machine, CpuSet.from(picked), one);
      if (best === undefined || compare(found, best) < 0) best = found;
      return;
    }
    for (let at = from; at <= open.length - (one.take - picked.length); at++) pick(at + 1, [...picked, open[at] ?? 0]);
  };
  pick(0, []);
  return best;
}
