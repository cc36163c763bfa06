import type { Machine } from "../topology/machine.ts";
import { distances, type Distances } from "./distances.ts";
import { grow } from "./tree.ts";

/** Cores that have NUMA node, socket and L3 domain in common. Values are indices into the layout's units. */
export interface Cell {
  readonly numa: number;
  readonly socket: number;
  readonly l3: number;
  /** Indices into {@link Layout.cores}, by lowest CPU. */
  readonly cores: readonly number[];
}

/** A set of cells that something of the machine holds together, and the largest such sets inside it. */
export interface Branch {
  /** The unit that this branch is, or -1. */
  readonly numa: number;
  readonly socket: number;
  readonly l3: number;
  /** Index into {@link Layout.cells} of a branch without children, or -1. */
  readonly cell: number;
  /** By lowest CPU. */
  readonly children: readonly Branch[];
  /** The children hold different NUMA nodes. */
  readonly joinsNuma: boolean;
  /** The children hold different L3 domains. */
  readonly joinsL3: boolean;
  /** Between NUMA nodes of different children, in steps of {@link Layout.distance}. */
  readonly distance: number;
}

/** What the search needs of a machine, as plain numbers. */
export interface Layout {
  readonly cores: readonly { readonly cpus: readonly number[] }[];
  /** Index into `cores` by CPU id, or -1. */
  readonly coreOf: Int32Array;
  readonly cells: readonly Cell[];
  readonly numaNodes: number;
  readonly sockets: number;
  /** Cells without a known L3 are domains too: a CPU without L3 shares with no other cell. */
  readonly l3s: number;
  /** Of each L3 index: false where the kernel tells of no L3. */
  readonly l3Known: readonly boolean[];
  readonly distance: Distances;
  readonly tree: Branch;
  /** NUMA nodes, sockets and L3 domains nest. */
  readonly nested: boolean;
  /** The distance of two NUMA nodes depends on the branch alone that joins them. */
  readonly flat: boolean;
  /** Sockets and L3 domains alone: exact inside a given set of NUMA nodes that cross them. */
  readonly inside: Branch;
}

const layouts = new WeakMap<Machine, Layout>();

/** Computed once per machine. */
export function layoutOf(machine: Machine): Layout {
  const known = layouts.get(machine);
  if (known !== undefined) return known;
  const layout = computeLayout(machine);
  layouts.set(machine, layout);
  return layout;
}

function computeLayout(machine: Machine): Layout {
  const numas = new Map<number, number>();
  const sockets = new Map<number, number>();
  const l3s = new Map<string, number>();
  const l3Known: boolean[] = [];
  const cells = new Map<string, Cell & { cores: number[] }>();
  const coreOf = new Int32Array((machine.cpus.at(-1)?.id ?? -1) + 1).fill(-1);
  const cpuById = new Map(machine.cpus.map((cpu) => [cpu.id, cpu]));
  const cores = machine.cores.map((core) => ({ cpus: core.cpus.toArray() }));
  for (const [index, core] of cores.entries()) {
    for (const cpu of core.cpus) coreOf[cpu] = index;
    // A core lies where its lowest CPU lies: threads of one core never lie apart on a sane machine.
    const cpu = cpuById.get(core.cpus[0] ?? -1);
    if (cpu === undefined) continue;
    const numa = indexOf(numas, cpu.numa);
    const socket = indexOf(sockets, cpu.socket);
    const l3 = indexOf(l3s, cpu.l3 < 0 ? `unknown ${numa} ${socket}` : `${cpu.l3}`);
    l3Known[l3] = cpu.l3 >= 0;
    const key = `${numa} ${socket} ${l3}`;
    const cell = cells.get(key) ?? { numa, socket, l3, cores: [] };
    cell.cores.push(index);
    cells.set(key, cell);
  }
  const list = [...cells.values()];
  const distance = distances(machine, [...numas.keys()]);
  const whole = grow(list, distance);
  return {
    cores,
    coreOf,
    cells: list,
    numaNodes: numas.size,
    sockets: sockets.size,
    l3s: l3s.size,
    l3Known,
    distance,
    ...whole,
    inside: grow(list, distance, ["socket", "l3"]).tree,
  };
}

function indexOf<K>(units: Map<K, number>, key: K): number {
  const index = units.get(key) ?? units.size;
  units.set(key, index);
  return index;
}
