import { type Ask, type Decided, decide } from "./decide.ts";

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
  const sets = nodeSets(ask, count).sort((a, b) => a.distance - b.distance || a.loose - b.loose);
  let best: { cost: number[]; decided: Decided } | undefined;
  let searches = 0;
  for (const { nodes, distance, loose } of sets) {
    if (best !== undefined && !even && distance > (best.cost[1] ?? 0)) break;
    if (searches++ === NODE_SET_BOUNDS.searches) break;
    const kinds = stock.kinds.map((of, cell) => (nodes.includes(layout.cells[cell]?.numa ?? -1) ? of : []));
    const decided = decide({ ...ask, tree, allowed, stock: { ...stock, kinds }, distances: false });
    if (decided === undefined) continue;
    const cost = [decided.range, distance, ...decided.cost, loose];
    if (best === undefined || less(cost, best.cost)) best = { cost, decided };
  }
  return best?.decided;
}

interface NodeSet {
  readonly nodes: readonly number[];
  readonly distance: number;
  readonly loose: number;
}

function nodeSets({ layout, stock, wanted }: Ask, count: number): NodeSet[] {
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
      sets.push({ nodes, distance, loose: nodes.reduce((sum, node) => sum + (stock.looseNuma[node] ?? 0), 0) });
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

function less(a: readonly number[], b: readonly number[]): boolean {
  for (const [at, value] of a.entries()) if (value !== b[at]) return value < (b[at] ?? 0);
  return false;
}
