import { type Ask, cheaper, type Decided, decide } from "./decide.ts";
import { within } from "./stock.ts";

/**
 * Bounds of the search over sets of NUMA nodes, needed only where no tree tells the distances (more than two sockets in a ring, say) or
 * where NUMA nodes cross sockets or L3 domains. All sets of 4 out of 8 nodes are 70. Beyond `sets`, the sets of the lowest nodes alone
 * are looked at; of these at most `searches`, the nearest first. The number of NUMA nodes stays least in any case.
 */
export const NODE_SET_BOUNDS = { sets: 4096, searches: 128 } as const;

/**
 * The best answer over all sets of `count` NUMA nodes that hold enough. Where levels cross, `distributed` counts a socket or L3 domain
 * once for each NUMA node in which it is touched; everything else is exact within the bounds.
 */
export function overNodeSets(ask: Ask, count: number): Decided | undefined {
  const { layout, policy, stock } = ask;
  const even = policy.strategy === "distributed";
  const tree = layout.nested || even ? layout.tree : layout.inside;
  // Inside a given set of nodes every amount is possible, and branches do not hold whole nodes.
  const allowed = tree === layout.tree ? ask.allowed : new Uint8Array(ask.wanted + 1).fill(1);
  const sets = nodeSets(ask, count).sort((a, b) => a.range - b.range || a.distance - b.distance || a.loose - b.loose);
  let best: Decided | undefined;
  let searches = 0;
  for (const { nodes, range, distance, loose } of sets) {
    if (best !== undefined && cheaper(best.cost, [count, range, distance])) break;
    if (searches++ === NODE_SET_BOUNDS.searches) break;
    const held = within(layout, stock, (cell) => nodes.includes(cell.numa));
    const decided = decide({ ...ask, tree, allowed, stock: held, distances: false });
    if (decided === undefined) continue;
    const cost = [count, even ? decided.range : 0, distance, ...decided.cost, loose];
    if (best === undefined || cheaper(cost, best.cost)) best = { ...decided, cost };
  }
  return best;
}

interface NodeSet {
  readonly nodes: readonly number[];
  /** Between the largest and the least share at best; 0 where the strategy does not ask. */
  readonly range: number;
  readonly distance: number;
  readonly loose: number;
}

function nodeSets({ layout, stock, wanted, policy }: Ask, count: number): NodeSet[] {
  const most = stock.mostNuma;
  const sets: NodeSet[] = [];
  const grow = (from: number, nodes: readonly number[], held: number): void => {
    if (sets.length === NODE_SET_BOUNDS.sets) return;
    const left = count - nodes.length;
    if (left === 0) {
      const distance = nodes.reduce(
        (sum, a, at) => nodes.slice(at + 1).reduce((sum, b) => sum + (layout.distance[a]?.[b] ?? 0), sum),
        0,
      );
      const range =
        policy.strategy === "distributed"
          ? evenRange(
              nodes.map((node) => most[node] ?? 0),
              wanted,
            )
          : 0;
      sets.push({ nodes, range, distance, loose: nodes.reduce((sum, node) => sum + (stock.looseNuma[node] ?? 0), 0) });
      return;
    }
    const largest = most.subarray(from).toSorted().subarray(-left);
    if (held + largest.reduce((sum, n) => sum + n, 0) < wanted) return;
    for (let node = from; node < most.length; node++) {
      if ((most[node] ?? 0) > 0) grow(node + 1, [...nodes, node], held + (most[node] ?? 0));
    }
  };
  grow(0, [], 0);
  return sets;
}

/** Shares filled evenly, each up to what its node holds: the range of the result, which no other shares undercut. */
function evenRange(most: readonly number[], wanted: number): number {
  const held = [...most].sort((a, b) => a - b);
  let left = wanted;
  for (const [at, n] of held.entries()) {
    const share = left / (held.length - at);
    if (n >= share) return Math.ceil(share) - Math.min(held[0] ?? 0, Math.floor(share));
    left -= n;
  }
  return 0;
}
