import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Layout } from "./layout.ts";
import type { Policy } from "./policy.ts";
import { cheaper, decide, type Decided } from "./decide.ts";
import { overNodeSets } from "./nodesets.ts";
import type { Shares } from "./search.ts";
import { type CoreKind, type Stock, takeStock, within } from "./stock.ts";
import { countBySize, wholeSums } from "./wholecores.ts";

export interface Choice {
  readonly cpus: CpuSet;
  readonly idle: CpuSet;
}

/** The best answer, or undefined where the policy cannot be met. `usable`: free, online, of the wanted core type. */
export function choose(layout: Layout, usable: CpuSet, wanted: number, policy: Policy): Choice | undefined {
  const stock = takeStock(layout, usable, policy);
  if (!possible(layout, stock, wanted, policy)) return undefined;
  const decided =
    policy.l3 === "require" && !layout.nested
      ? overDomains(layout, stock, wanted, policy)
      : fewestNodes(layout, stock, wanted, policy);
  return decided === undefined ? undefined : named(layout, stock, decided.shares, policy);
}

function fewestNodes(layout: Layout, stock: Stock, wanted: number, policy: Policy): Decided | undefined {
  const top = largestFirst(stock.mostNuma);
  // With cores of several sizes under `whole`, and with `require`, the largest nodes together can be too few although they hold enough.
  for (let nodes = top.findIndex((sum) => sum >= wanted); nodes > 0 && nodes < top.length; nodes++) {
    const allowed = allowedAmounts(top, nodes, wanted);
    const ask = { layout, stock, policy, wanted, tree: layout.tree, allowed, distances: true };
    // One node alone has no distance; where levels cross it can still hold pieces of several sockets.
    const decided = layout.nested && (layout.flat || nodes === 1) ? decide(ask) : overNodeSets(ask, nodes);
    if (decided !== undefined) return decided;
  }
  return undefined;
}

/** Where L3 domains do not nest with NUMA nodes: each domain for itself. */
function overDomains(layout: Layout, stock: Stock, wanted: number, policy: Policy): Decided | undefined {
  const inDomain: Policy = { ...policy, l3: "prefer" };
  let best: Decided | undefined;
  for (let l3 = 0; l3 < layout.l3s; l3++) {
    const inside = within(layout, stock, (cell) => cell.l3 === l3);
    const decided = fewestNodes(layout, inside, wanted, inDomain);
    if (decided !== undefined && (best === undefined || cheaper(decided.cost, best.cost))) best = decided;
  }
  return best;
}

/** Whether any set of the open CPUs meets the policy. */
function possible(layout: Layout, stock: Stock, wanted: number, policy: Policy): boolean {
  if (stock.most < wanted) return false;
  if (policy.l3 !== "require") return reaches(stock.kinds.flat(), wanted, policy);
  return stock.mostL3.some((most, l3) => {
    const kinds = stock.kinds.filter((_, cell) => layout.cells[cell]?.l3 === l3).flat();
    return most >= wanted && reaches(kinds, wanted, policy);
  });
}

/** Whether whole cores of these kinds add up to the amount; other policies take any amount up to what is there. */
function reaches(kinds: readonly CoreKind[], wanted: number, policy: Policy): boolean {
  if (policy.cores !== "whole") return true;
  const sizes = kinds.flatMap((kind) => kind.cores.map(() => kind.size));
  return wholeSums(countBySize(sizes), wanted)[wanted] === 1;
}

/** Entry n: what the n largest hold together. */
function largestFirst(most: Int32Array): number[] {
  const sums = [0];
  for (const n of most.toSorted().toReversed()) sums.push((sums.at(-1) ?? 0) + n);
  return sums;
}

/**
 * In an answer of `nodes` NUMA nodes, any c of them give at most what the c largest hold, and at least what the others cannot.
 * Everything else need not be looked at.
 */
function allowedAmounts(top: readonly number[], nodes: number, wanted: number): Uint8Array {
  const allowed = new Uint8Array(wanted + 1);
  for (let c = 0; c <= nodes; c++) {
    const least = Math.max(0, wanted - (top[nodes - c] ?? 0));
    const most = Math.min(wanted, top[c] ?? 0);
    if (least <= most) allowed.fill(1, least, most + 1);
  }
  return allowed;
}

/** Lowest cores and threads first; to spread, one thread of each core, and the rest on as few cores as take it, evenly. */
function named(layout: Layout, stock: Stock, shares: Shares, policy: Policy): Choice {
  const cpus: number[] = [];
  const idle: number[] = [];
  const byThread = policy.strategy === "spread" && policy.cores === "any";
  for (const { kind, amount } of shares) {
    const extra = byThread ? Math.max(0, amount - kind.cores.length) : 0;
    const sharers = Math.ceil(extra / Math.max(1, kind.free - 1));
    let left = amount;
    for (const [at, core] of kind.cores.entries()) {
      if (left === 0) break;
      const open = (layout.cores[core]?.cpus ?? []).filter((cpu) => stock.open[cpu] === 1);
      const most = policy.cores === "isolated" ? 1 : open.length;
      const more = at < sharers ? Math.floor(extra / sharers) + (at < extra % sharers ? 1 : 0) : 0;
      const take = byThread ? 1 + more : Math.min(left, most);
      cpus.push(...open.slice(0, take));
      if (policy.cores === "isolated") idle.push(...open.slice(1));
      left -= take;
    }
  }
  return { cpus: CpuSet.from(cpus), idle: CpuSet.from(idle) };
}
