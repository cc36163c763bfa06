import type { Layout } from "./layout.ts";
import { weigh } from "./objective.ts";
import { type Question, search, type Shares } from "./search.ts";

export type Ask = Omit<Question, "weights" | "share"> & { readonly layout: Layout };

/** The best shares inside a tree, and their cost, most important first. `range`: between the largest and the least share of a node. */
export interface Decided {
  readonly shares: Shares;
  readonly range: number;
  readonly cost: readonly number[];
}

/** One step, or two for `distributed`; see `objective.ts`. */
export function decide(ask: Ask): Decided | undefined {
  const { layout, policy, wanted } = ask;
  let share: readonly [number, number] = [1, wanted];
  if (policy.strategy === "distributed") {
    const even = search({ ...ask, weights: weigh(layout, policy, wanted, true), share });
    if (even === undefined) return undefined;
    share = shareRange(even.shares);
  }
  const answer = search({ ...ask, weights: weigh(layout, policy, wanted, false), share });
  if (answer === undefined) return undefined;
  return { shares: answer.shares, range: share[1] - share[0], cost: [answer.high, answer.middle, answer.low] };
}

/** What the NUMA nodes give that give least and most. */
function shareRange(shares: Shares): [number, number] {
  const byNode = new Map<number, number>();
  for (const { kind, amount } of shares) byNode.set(kind.numa, (byNode.get(kind.numa) ?? 0) + amount);
  return [Math.min(...byNode.values()), Math.max(...byNode.values())];
}

/** Whether the first cost is less, part by part. */
export function cheaper(a: readonly number[], b: readonly number[]): boolean {
  for (const [at, value] of a.entries()) if (value !== b[at]) return value < (b[at] ?? 0);
  return false;
}
