import type { Branch } from "./layout.ts";
import type { Weight, Weights } from "./objective.ts";
import type { Policy } from "./policy.ts";
import type { CoreKind, Stock } from "./stock.ts";
import { type Table, Tables } from "./tables.ts";

/** How many CPUs each core kind of each cell gives; undefined where no answer exists. */
export type Shares = readonly { readonly kind: CoreKind; readonly amount: number }[];

export interface Question {
  readonly stock: Stock;
  readonly policy: Policy;
  readonly weights: Weights;
  readonly wanted: number;
  readonly tree: Branch;
  /** False where the NUMA nodes are given: then their distances cost nothing here. */
  readonly distances: boolean;
  /** 1 for each amount that a group of whole NUMA nodes may give; others cannot be part of an answer with few nodes. */
  readonly allowed: Uint8Array;
  /** Least and largest share of a NUMA node. */
  readonly share: readonly [least: number, most: number];
}

export interface Answer {
  readonly shares: Shares;
  readonly high: number;
  readonly middle: number;
  readonly low: number;
}

/** How a table came about, for the way back. */
type Origin =
  | { readonly table: Table; readonly kind: CoreKind }
  | { readonly table: Table; readonly first: Origin; readonly second: Origin };

const tables = new Tables();

/**
 * The least cost of `wanted` CPUs, exactly: bottom-up over the tree, each branch with the least cost of every amount. Costs are sums
 * over what is touched, so a best answer consists of best answers. Distances depend on the number of NUMA nodes on both sides, and that
 * number is the first part of the cost, hence the same in every best answer for an amount.
 *
 * Ties go to the larger share of what lies first.
 */
export function search(question: Question): Answer | undefined {
  tables.clear();
  const origin = branchTable(question, question.tree, true);
  const at = origin === undefined ? -1 : origin.table.at + question.wanted;
  if (origin === undefined || origin.table.most < question.wanted || tables.high[at] === Infinity) return undefined;
  const shares: { kind: CoreKind; amount: number }[] = [];
  collect(origin, question.wanted, shares);
  return { shares, high: tables.high[at] ?? 0, middle: tables.middle[at] ?? 0, low: tables.low[at] ?? 0 };
}

function branchTable(question: Question, branch: Branch, root: boolean): Origin | undefined {
  const { stock, weights, wanted, allowed } = question;
  let origin: Origin | undefined;
  if (branch.cell >= 0) {
    for (const kind of stock.kinds[branch.cell] ?? []) {
      const own = { table: kindTable(question, kind), kind };
      origin = origin === undefined ? own : join(origin, own, wanted, undefined);
    }
  } else {
    const single = question.policy.l3 === "require" && branch.joinsL3;
    const rule = branch.joinsNuma ? allowed : undefined;
    const last = branch.children.length - 1;
    for (const [at, child] of branch.children.entries()) {
      const own = branchTable(question, child, root && branch.children.length === 1);
      if (own === undefined) continue;
      const cross = (question.distances ? branch.distance : 0) * weights.distance.factor;
      const options = { single, cross, crossWord: weights.distance.word, numa: weights.numa.factor, rule };
      origin = origin === undefined ? own : join(origin, own, wanted, options, root && at === last ? wanted : 0);
    }
  }
  if (origin === undefined) return undefined;
  if (branch.numa >= 0) {
    touch(origin.table, weights.numa, 1);
    touch(origin.table, weights.looseNuma, stock.looseNuma[branch.numa] ?? 0);
    balance(origin.table, weights.imbalance);
    const [least, most] = question.share;
    for (let t = 1; t <= origin.table.most; t++) {
      if (allowed[t] === 0 || t < least || t > most) tables.high[origin.table.at + t] = Infinity;
    }
  }
  if (branch.socket >= 0) {
    touch(origin.table, weights.sockets, 1);
    touch(origin.table, weights.looseSocket, stock.looseSocket[branch.socket] ?? 0);
  }
  if (branch.l3 >= 0) {
    touch(origin.table, weights.l3, 1);
    touch(origin.table, weights.looseL3, stock.looseL3[branch.l3] ?? 0);
  }
  return origin;
}

function wordOf(weight: Weight): Float64Array {
  return weight.word === 0 ? tables.high : weight.word === 1 ? tables.middle : tables.low;
}

function touch(table: Table, weight: Weight, amount: number): void {
  const cost = weight.factor * amount;
  if (cost === 0) return;
  const word = wordOf(weight);
  for (let at = table.at + 1; at <= table.at + table.most; at++) word[at] = (word[at] ?? 0) + cost;
}

function balance(table: Table, weight: Weight): void {
  if (weight.factor === 0) return;
  const word = wordOf(weight);
  for (let t = 1; t <= table.most; t++) word[table.at + t] = (word[table.at + t] ?? 0) + t * t * weight.factor;
}

/** Cores that are alike: filled one after the other; or, to spread, one thread a core and then a second, third … where it must be. */
function kindTable(question: Question, kind: CoreKind): Table {
  const { policy, weights, wanted } = question;
  const { size, free } = kind;
  const count = kind.cores.length;
  const byThread = policy.strategy === "spread" && policy.cores === "any";
  const each = policy.cores === "isolated" ? 1 : free;
  const most = Math.min(count * each, wanted);
  const table = { at: tables.open(most + 1), most };
  const words = [tables.high, tables.middle, tables.low] as const;
  const add = (at: number, weight: Weight, amount: number): void => {
    const word = words[weight.word];
    word[at] = (word[at] ?? 0) + weight.factor * amount;
  };
  for (let t = 0; t <= most; t += policy.cores === "whole" ? size : 1) {
    const at = table.at + t;
    for (const word of words) word[at] = 0;
    const touched = byThread ? Math.min(t, count) : Math.ceil(t / each);
    const split = policy.cores !== "any" ? 0 : free < size ? touched : t % size === 0 ? 0 : 1;
    add(at, weights.split, split);
    add(at, weights.looseCore, touched * free);
    const extra = t - touched;
    if (extra === 0) continue;
    // The rest goes to as few cores as take it, evenly over these.
    const sharers = byThread ? Math.ceil(extra / (each - 1)) : touched;
    const sharing = byThread ? extra + sharers : t;
    const round = Math.floor(sharing / sharers);
    const over = sharing - round * sharers;
    add(at, weights.sharing, sharing);
    add(at, weights.crowding, (over * (round + 1) * round) / 2 + ((sharers - over) * round * (round - 1)) / 2);
  }
  return table;
}

interface JoinOptions {
  /** All of the amount comes from one side. */
  readonly single: boolean;
  readonly cross: number;
  readonly crossWord: number;
  /** Weight of a NUMA node in the first word: `high / numa` counts them. */
  readonly numa: number;
  /** Which amounts of the join may be; undefined: all. */
  readonly rule: Uint8Array | undefined;
}

function join(first: Origin, second: Origin, wanted: number, options: JoinOptions | undefined, from = 0): Origin {
  const a = first.table;
  const b = second.table;
  const most = Math.min(wanted, a.most + b.most);
  const table = { at: tables.open(most + 1), most };
  const { high, middle, low, second: share } = tables;
  const cross = options?.cross ?? 0;
  const numa = options?.numa ?? 1;
  const crossWord = options?.crossWord ?? 0;
  const single = options?.single ?? false;
  const rule = options?.rule;
  for (let j = 0; j <= b.most; j++) {
    const bHigh = high[b.at + j] as number;
    if (bHigh === Infinity) continue;
    const bMiddle = middle[b.at + j] as number;
    const bLow = low[b.at + j] as number;
    const crossOfB = cross * Math.floor(bHigh / numa);
    const end = single && j > 0 ? 0 : Math.min(a.most, most - j);
    for (let i = Math.max(0, from - j); i <= end; i++) {
      let h = (high[a.at + i] as number) + bHigh;
      if (h === Infinity || (rule !== undefined && i + j > 0 && rule[i + j] === 0)) continue;
      let m = (middle[a.at + i] as number) + bMiddle;
      const l = (low[a.at + i] as number) + bLow;
      if (crossOfB > 0) {
        const far = crossOfB * Math.floor((high[a.at + i] as number) / numa);
        if (crossWord === 0) h += far;
        else m += far;
      }
      const at = table.at + i + j;
      const best = high[at] as number;
      // Of equals the first stays: j grows, so that is the larger share of what lies first.
      if (h > best) continue;
      if (h === best) {
        const bestMiddle = middle[at] as number;
        if (m > bestMiddle || (m === bestMiddle && l >= (low[at] as number))) continue;
      }
      high[at] = h;
      middle[at] = m;
      low[at] = l;
      share[at] = j;
    }
  }
  return { table, first, second };
}

function collect(origin: Origin, amount: number, shares: { kind: CoreKind; amount: number }[]): void {
  if (amount === 0) return;
  if ("kind" in origin) {
    shares.push({ kind: origin.kind, amount });
    return;
  }
  const j = tables.second[origin.table.at + amount] ?? 0;
  collect(origin.first, amount - j, shares);
  collect(origin.second, j, shares);
}
