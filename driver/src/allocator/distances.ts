import type { Machine } from "../topology/machine.ts";

/** Steps beyond the nearest pair of nodes, by pairs of NUMA indices. All 0 where the nodes are equally far from each other. */
export type Distances = readonly (readonly number[])[];

/** The kernel's SLIT as steps: what every pair has in common says nothing, and the steps are divided by their common divisor. */
export function distances(machine: Machine, nodeIds: readonly number[]): Distances {
  const byId = new Map(machine.numaNodes.map((node) => [node.id, node]));
  const between = (a: number, b: number): number => {
    const there = byId.get(a)?.distances.get(b) ?? byId.get(b)?.distances.get(a) ?? 20;
    const back = byId.get(b)?.distances.get(a) ?? there;
    return there + back;
  };
  const raw = nodeIds.map((a) => nodeIds.map((b) => (a === b ? 0 : between(a, b))));
  const pairs = raw.flatMap((row, a) => row.filter((_, b) => b !== a));
  const nearest = Math.min(...pairs);
  const divisor = pairs.reduce((sum, d) => gcd(sum, d - nearest), 0) || 1;
  return raw.map((row, a) => row.map((d, b) => (a === b ? 0 : (d - nearest) / divisor)));
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
