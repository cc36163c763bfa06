import type { Layout } from "./layout.ts";
import type { Policy } from "./policy.ts";

/** What an answer costs. Every part is a sum over what the answer touches; For people: docs/allocation.md. */
export type Part =
  | "numa"
  | "distance"
  | "imbalance"
  | "sockets"
  | "l3"
  | "split"
  | "sharing"
  | "crowding"
  | "looseNuma"
  | "looseSocket"
  | "looseL3"
  | "looseCore";

/**
 * The objective: the answer that is least in the first part, then in the second, and so on, among all that meet the constraints.
 *
 * - `numa`, `sockets`, `l3`: units touched. CPUs without a known L3 count as one domain for each NUMA node and socket.
 * - `distance`: sum over pairs of touched NUMA nodes of their distance.
 * - `split`: cores of which some but not all online threads are taken.
 * - `sharing`: taken threads that share their core with another one; `crowding`: pairs of taken threads that share a core.
 * - `imbalance`: sum of the squares of what each NUMA node gives, least when the shares are even.
 * - `loose…`: free CPUs in the touched units (NUMA nodes, sockets, L3 domains, cores): least where the fit is tightest.
 *
 * `distributed` is decided in two steps: the evenest shares (`evening`) tell the least and the largest share of a NUMA node; then every
 * share between these two is as good, so that a thread more or less in a node never splits a core.
 *
 * Among equals the search takes what lies first, in the order of lowest CPU ids.
 */
export function parts(policy: Policy, evening: boolean): readonly Part[] {
  const tight = ["looseNuma", "looseSocket"] as const;
  const first = policy.l3 === "any" ? [] : (["l3"] as const);
  const last = policy.l3 === "any" ? (["l3", "looseL3", "looseCore"] as const) : (["looseL3", "looseCore"] as const);
  switch (policy.strategy) {
    case "packed":
      return ["numa", "distance", "sockets", ...first, "split", ...tight, ...last];
    case "spread":
      return ["numa", "distance", "sockets", "sharing", "crowding", ...first, ...tight, ...last];
    case "distributed":
      if (evening) return ["numa", "imbalance"];
      return ["numa", "distance", "split", "imbalance", "sockets", ...first, ...tight, ...last];
  }
}

/** A part's place in the cost: `factor` in word `word`. Words are compared in order, each as one number. */
export interface Weight {
  readonly word: 0 | 1 | 2;
  readonly factor: number;
}

export type Weights = Readonly<Record<Part, Weight>>;

/** A part that the strategy does not ask about weighs nothing. */
const NONE: Weight = { word: 2, factor: 0 };

/**
 * Packs the parts into three numbers, as many in each as 53 bits hold exactly. 159 bits are enough for 8,192 CPUs in 1,024 NUMA
 * nodes; beyond that the last tie-breaks would be rounded.
 */
export function weigh(layout: Layout, policy: Policy, wanted: number, evening: boolean): Weights {
  const cpus = layout.coreOf.length;
  const nodes = Math.min(layout.numaNodes, wanted);
  const farthest = Math.max(0, ...layout.distance.map((row) => Math.max(...row)));
  const largest: Readonly<Record<Part, number>> = {
    numa: nodes,
    distance: ((nodes * (nodes - 1)) / 2) * farthest,
    imbalance: wanted * wanted,
    sockets: layout.sockets,
    l3: layout.l3s,
    split: Math.min(layout.cores.length, wanted),
    sharing: wanted,
    crowding: wanted * 64,
    looseNuma: cpus,
    looseSocket: cpus,
    looseL3: cpus,
    looseCore: cpus,
  };
  const words: Part[][] = [[], [], []];
  let word = 0;
  let room = 2 ** 53;
  for (const part of parts(policy, evening)) {
    const radix = largest[part] + 1;
    if (room < radix * 2 && word < 2) {
      word++;
      room = 2 ** 53;
    }
    room /= radix;
    words[word]?.push(part);
  }
  const weights: Record<Part, Weight> = { ...NOTHING };
  for (const [at, of] of words.entries()) {
    let factor = 1;
    for (const part of of.reverse()) {
      weights[part] = { word: at as 0 | 1 | 2, factor };
      factor *= largest[part] + 1;
    }
  }
  return weights;
}

const NOTHING: Weights = {
  numa: NONE,
  distance: NONE,
  imbalance: NONE,
  sockets: NONE,
  l3: NONE,
  split: NONE,
  sharing: NONE,
  crowding: NONE,
  looseNuma: NONE,
  looseSocket: NONE,
  looseL3: NONE,
  looseCore: NONE,
};
