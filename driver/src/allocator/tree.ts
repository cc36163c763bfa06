import type { Distances } from "./distances.ts";
import type { Branch, Cell } from "./layout.ts";

type Level = "socket" | "numa" | "l3";
type Unit = { readonly level: Level | "near"; readonly index: number; readonly cells: bigint };

/**
 * The machine as a tree. NUMA nodes, sockets and L3 domains usually nest, in whatever order: L3 in NUMA node in socket, or NUMA
 * node in L3 in socket, or socket in NUMA node. Groups of near nodes are branches of their own where they nest too, so that
 * distances depend on the branch alone (`flat`). Where levels cross (not `nested`), the later one of (NUMA, socket, L3) is left to its cells, which then count
 * a unit once per piece.
 */
export function grow(
  cells: readonly Cell[],
  distance: Distances,
  levels: readonly Level[] = ["numa", "socket", "l3"],
): { tree: Branch; nested: boolean; flat: boolean } {
  let units: Unit[] = [];
  let nested = true;
  const pieces: Level[] = [];
  for (const level of levels) {
    const own = unitsOf(cells, level);
    if (own.every((unit) => units.every((other) => nests(unit, other)))) units.push(...own);
    else {
      nested = false;
      pieces.push(level);
    }
  }
  for (const unit of levels.includes("numa") ? nearGroups(cells, distance) : []) {
    if (units.every((other) => nests(unit, other))) units = [...units, unit];
  }
  let flat = true;
  const build = (unit: Unit | undefined, within: bigint, rest: readonly Unit[]): Branch => {
    const inside = rest.filter((other) => (other.cells & within) === other.cells);
    const tops = inside.filter((a, at) => !inside.some((b, bt) => contains(b, a) && (a.cells !== b.cells || bt < at)));
    let children = tops.map((top) => ({
      cells: top.cells,
      branch: build(
        top,
        top.cells,
        inside.filter((other) => other !== top && contains(top, other)),
      ),
    }));
    if (children.length === 0) {
      children = cells.flatMap((cell, at) =>
        (within >> BigInt(at)) & 1n ? [{ cells: 1n << BigInt(at), branch: leaf(cell, at, pieces) }] : [],
      );
    }
    children.sort((a, b) => firstCell(a.cells) - firstCell(b.cells));
    const numas = children.map((child) => indicesIn(cells, child.cells, "numa"));
    const far = new Set(numas.flatMap((a, at) => numas.slice(at + 1).flatMap((b) => crossing(a, b, distance))));
    if (far.size > 1) flat = false;
    return {
      numa: unit?.level === "numa" ? unit.index : -1,
      socket: unit?.level === "socket" ? unit.index : -1,
      l3: unit?.level === "l3" ? unit.index : -1,
      cell: -1,
      children: children.map((child) => child.branch),
      joinsNuma: indicesIn(cells, within, "numa").length > 1,
      joinsL3: indicesIn(cells, within, "l3").length > 1,
      distance: far.values().next().value ?? 0,
    };
  };
  const tree = build(undefined, (1n << BigInt(cells.length)) - 1n, units);
  return { tree, nested, flat };
}

function leaf(cell: Cell, at: number, pieces: readonly Level[]): Branch {
  const piece = (level: Level): number => (pieces.includes(level) ? cell[level] : -1);
  const own = { numa: piece("numa"), socket: piece("socket"), l3: piece("l3") };
  return { ...own, cell: at, children: [], joinsNuma: false, joinsL3: false, distance: 0 };
}

function unitsOf(cells: readonly Cell[], level: Level): Unit[] {
  const masks = new Map<number, bigint>();
  for (const [at, cell] of cells.entries()) masks.set(cell[level], (masks.get(cell[level]) ?? 0n) | (1n << BigInt(at)));
  return [...masks].map(([index, mask]) => ({ level, index, cells: mask }));
}

/** Groups of nodes that are joined by steps of at most a given length, for each length. */
function nearGroups(cells: readonly Cell[], distance: Distances): Unit[] {
  const lengths = [...new Set(distance.flatMap((row, a) => row.filter((_, b) => b !== a)))].sort((a, b) => a - b);
  return lengths.slice(0, -1).flatMap((length) => {
    const group = distance.map((_, node) => node);
    for (const [a, row] of distance.entries()) {
      for (const [b, d] of row.entries()) {
        if (a === b || d > length || group[a] === group[b]) continue;
        const gone = group[b];
        for (const [node, of] of group.entries()) if (of === gone) group[node] = group[a] ?? a;
      }
    }
    return [...new Set(group)].map((index) => ({
      level: "near" as const,
      index,
      cells: cells.reduce((mask, cell, at) => (group[cell.numa] === index ? mask | (1n << BigInt(at)) : mask), 0n),
    }));
  });
}

const contains = (outer: Unit, inner: Unit): boolean => (outer.cells & inner.cells) === inner.cells;
const nests = (a: Unit, b: Unit): boolean => contains(a, b) || contains(b, a) || (a.cells & b.cells) === 0n;

function firstCell(mask: bigint): number {
  let at = 0;
  while (((mask >> BigInt(at)) & 1n) === 0n) at++;
  return at;
}

function indicesIn(cells: readonly Cell[], mask: bigint, level: Level): number[] {
  return [...new Set(cells.flatMap((cell, at) => ((mask >> BigInt(at)) & 1n ? [cell[level]] : [])))];
}

function crossing(a: readonly number[], b: readonly number[], distance: Distances): number[] {
  return a.flatMap((x) => b.filter((y) => y !== x).map((y) => distance[x]?.[y] ?? 0));
}
