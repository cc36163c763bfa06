import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { CoreType, Cpu, Machine } from "../../driver/src/topology/machine.ts";

/** One online CPU as a vector file tells it: `[cpu, core, socket, numa, l3, type]`; l3 -1 = none visible; type `s`, `p`, `e`. */
export type Row = readonly [cpu: number, core: number, socket: number, numa: number, l3: number, type: "s" | "p" | "e"];

const TYPES: Readonly<Record<Row[5], CoreType>> = { s: "standard", p: "performance", e: "efficiency" };

/** A machine of these CPUs. Core ids may repeat per socket. `distance` gives the SLIT entry of a pair of NUMA nodes. */
export function machineOf(
  rows: readonly Row[],
  distance = (a: number, b: number): number => (a === b ? 10 : 20),
): Machine {
  const sorted = [...rows].sort((a, b) => a[0] - b[0]);
  const by = <K>(key: (row: Row) => K): Map<K, number[]> => {
    const groups = new Map<K, number[]>();
    for (const row of sorted) groups.set(key(row), [...(groups.get(key(row)) ?? []), row[0]]);
    return groups;
  };
  const cores = by((row) => `${row[2]} ${row[1]}`);
  const l3s = by((row) => row[4]);
  l3s.delete(-1);
  const numas = by((row) => row[3]);
  const coreIndex = new Map([...cores.keys()].map((key, index) => [key, index]));
  const l3Index = new Map([...l3s.keys()].map((key, index) => [key, index]));
  const byId = (a: { id: number }, b: { id: number }): number => a.id - b.id;
  const cpus: Cpu[] = sorted.map(([id, core, socket, numa, l3, type]) => ({
    id,
    core: coreIndex.get(`${socket} ${core}`) ?? -1,
    coreId: core,
    socket,
    die: 0,
    cluster: -1,
    numa,
    l3: l3Index.get(l3) ?? -1,
    coreType: TYPES[type],
  }));
  const online = CpuSet.from(cpus.map((cpu) => cpu.id));
  return {
    cpus,
    online,
    present: online,
    isolated: CpuSet.empty,
    nohzFull: CpuSet.empty,
    cores: [...cores.values()].map((ids) => ({ cpus: CpuSet.from(ids) })),
    numaNodes: [...numas]
      .map(([id, ids]) => ({
        id,
        cpus: CpuSet.from(ids),
        distances: new Map([...numas.keys()].map((other) => [other, distance(id, other)])),
      }))
      .sort(byId),
    sockets: [...by((row) => row[2])].map(([id, ids]) => ({ id, cpus: CpuSet.from(ids) })).sort(byId),
    l3s: [...l3s].map(([id, ids]) => ({ id, cpus: CpuSet.from(ids) })),
    smt: [...cores.values()].some((ids) => ids.length > 1),
    dies: [],
    clusters: [],
    caches: [],
    unknowns: [],
  };
}
