import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import fc from "fast-check";
import type { CoreType, Cpu, Machine } from "../../src/topology/machine.ts";

export interface CoreRow {
  readonly socket: number;
  readonly numa: number;
  /** -1: none known. */
  readonly l3: number;
  readonly threads: number;
  readonly type: CoreType;
}

/** A machine of these cores; CPU ids are dealt out by `deal`, the position of each thread among all ids. */
export function machineOfCores(
  rows: readonly CoreRow[],
  deal: (thread: number) => number,
  distance: (a: number, b: number) => number,
): Machine {
  let thread = 0;
  const ids = rows.map((row) => Array.from({ length: row.threads }, () => deal(thread++)).sort((a, b) => a - b));
  const order = rows.map((_, at) => at).sort((a, b) => (ids[a]?.[0] ?? 0) - (ids[b]?.[0] ?? 0));
  const by = (key: (row: CoreRow) => number): { id: number; cpus: CpuSet }[] => {
    const groups = new Map<number, number[]>();
    for (const at of order) {
      const row = rows[at] as CoreRow;
      groups.set(key(row), [...(groups.get(key(row)) ?? []), ...(ids[at] ?? [])]);
    }
    return [...groups].map(([id, cpus]) => ({ id, cpus: CpuSet.from(cpus) }));
  };
  const l3s = by((row) => row.l3).filter(({ id }) => id >= 0);
  const numas = by((row) => row.numa);
  const cpus: Cpu[] = order.flatMap((at, core) => {
    const { socket, numa, l3, type } = rows[at] as CoreRow;
    const l3Index = l3s.findIndex(({ id }) => id === l3);
    const where = { core, coreId: at, socket, die: 0, cluster: -1, numa, l3: l3Index, coreType: type };
    return (ids[at] ?? []).map((id) => ({ id, ...where }));
  });
  cpus.sort((a, b) => a.id - b.id);
  const online = CpuSet.from(cpus.map(({ id }) => id));
  const far = (id: number): Map<number, number> => new Map(numas.map((other) => [other.id, distance(id, other.id)]));
  return {
    cpus,
    online,
    present: online,
    isolated: CpuSet.empty,
    nohzFull: CpuSet.empty,
    cores: order.map((at) => ({ cpus: CpuSet.from(ids[at] ?? []) })),
    numaNodes: numas.map(({ id, cpus }) => ({ id, cpus, distances: far(id) })).sort((a, b) => a.id - b.id),
    sockets: by((row) => row.socket),
    l3s,
    smt: rows.some((row) => row.threads > 1),
    dies: [],
    clusters: [],
    caches: [],
    unknowns: [],
  };
}

type Place = Pick<CoreRow, "socket" | "numa" | "l3">;

/** How levels lie in each other, by a number 0 … 7. */
export const NESTINGS: Readonly<Record<string, (place: number) => Place>> = {
  "L3 in NUMA node in socket": (p) => ({ socket: p >> 2, numa: p >> 1, l3: p }),
  "NUMA node in L3 in socket": (p) => ({ socket: p >> 2, numa: p, l3: p >> 1 }),
  "L3 in socket in NUMA node": (p) => ({ socket: p >> 1, numa: p >> 2, l3: p }),
  "one socket": (p) => ({ socket: 0, numa: p >> 1, l3: p }),
  "no L3": (p) => ({ socket: p >> 2, numa: p >> 1, l3: -1 }),
  "an L3 in some NUMA nodes": (p) => ({ socket: p >> 2, numa: p >> 1, l3: p < 4 ? p >> 1 : -1 }),
  "NUMA nodes across sockets": (p) => ({ socket: p >> 2, numa: p & 3, l3: p >> 1 }),
};

/** SLIT shapes over node numbers. */
export const SLITS: Readonly<Record<string, (a: number, b: number) => number>> = {
  even: (a, b) => (a === b ? 10 : 20),
  "near in pairs": (a, b) => (a === b ? 10 : a >> 1 === b >> 1 ? 12 : 32),
  "near crosswise": (a, b) => (a === b ? 10 : a % 2 === b % 2 ? 12 : 32),
  ring: (a, b) => 10 + 5 * Math.min((a - b + 8) % 8, (b - a + 8) % 8),
};

export interface Sample {
  readonly machine: Machine;
  /** The same machine with the ids dealt out otherwise, and the id there of each of the machine's CPUs. */
  readonly renumbered: Machine;
  readonly other: (cpu: number) => number;
  readonly nesting: string;
  readonly slit: string;
}

/** Random machines of few CPUs: cores of unlike sizes and types, ids in any order. */
export function machines(maxCores = 5): fc.Arbitrary<Sample> {
  const type = fc.constantFrom<CoreType>("performance", "efficiency", "low-power");
  const core = fc.record({ place: fc.nat(7), threads: fc.constantFrom(1, 2, 2, 2, 4), type });
  return fc
    .record({
      cores: fc.array(core, { minLength: 1, maxLength: maxCores }),
      nesting: fc.constantFrom(...Object.keys(NESTINGS)),
      slit: fc.constantFrom(...Object.keys(SLITS)),
      hybrid: fc.boolean(),
      keys: fc.array(fc.nat(1000), { minLength: maxCores * 4, maxLength: maxCores * 4 }),
      one: fc.constantFrom(0, 1, 2),
    })
    .map(({ cores, nesting, slit, hybrid, keys, one }) => {
      const place = NESTINGS[nesting] as (p: number) => Place;
      const rows = cores.map((core) => ({
        ...place(core.place),
        threads: one > 0 ? one : core.threads,
        type: hybrid ? core.type : "standard",
      }));
      const threads = rows.reduce((sum, row) => sum + row.threads, 0);
      const ranked = keys.slice(0, threads).map((key, at) => [key, at] as const);
      const order = ranked.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, at]) => at);
      const redeal = (thread: number): number => threads - 1 - thread;
      const other = (cpu: number): number => redeal(order[cpu] ?? 0);
      const distance = SLITS[slit] as (a: number, b: number) => number;
      const machine = machineOfCores(rows, (thread) => order.indexOf(thread), distance);
      return { machine, renumbered: machineOfCores(rows, redeal, distance), other, nesting, slit };
    });
}

export const policies = fc.record({
  strategy: fc.constantFrom("packed", "spread", "distributed"),
  cores: fc.constantFrom("any", "whole", "isolated"),
  l3: fc.constantFrom("prefer", "require", "any"),
  coreType: fc.constantFrom("any", "any", "performance", "efficiency"),
} as const);
