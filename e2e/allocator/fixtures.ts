import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Machine } from "../../driver/src/topology/machine.ts";
import { machineOf, type Row } from "./machine.ts";

export interface Shape {
  readonly sockets: number;
  /** Of each socket. */
  readonly numaNodes: number;
  /** Of each NUMA node. */
  readonly l3s: number;
  /** Of each L3. */
  readonly cores: number;
  readonly threads: number;
  /** SLIT entry of two different nodes; default 12 within a socket, 32 between. */
  readonly distance?: (a: number, b: number) => number;
}

/** A uniform machine with ids as Linux gives them: siblings a machine's cores apart, core ids repeating in each socket. */
export function uniform(shape: Shape): Machine {
  const { sockets, numaNodes, l3s, cores, threads } = shape;
  const perL3 = cores;
  const perNuma = perL3 * l3s;
  const perSocket = perNuma * numaNodes;
  const all = perSocket * sockets;
  const rows: Row[] = [];
  for (let cpu = 0; cpu < all * threads; cpu++) {
    const core = cpu % all;
    const at = (per: number): number => Math.floor(core / per);
    rows.push([cpu, core % perSocket, at(perSocket), at(perNuma), at(perL3), "s"]);
  }
  const near = (a: number, b: number): number =>
    a === b ? 10 : Math.floor(a / numaNodes) === Math.floor(b / numaNodes) ? 12 : 32;
  return machineOf(rows, shape.distance ?? near);
}

/** A ring of sockets: neighbours 21, opposite ones 31. */
export const ring =
  (sockets: number) =>
  (a: number, b: number): number => {
    const steps = Math.min((a - b + sockets) % sockets, (b - a + sockets) % sockets);
    return steps === 0 ? 10 : 11 + 10 * steps;
  };

/** Park–Miller: the same numbers on every machine. */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 48271) % 2147483647;
    return state / 2147483647;
  };
}

/** About 60 % of the CPUs, in no pattern. */
export function fragmented(machine: Machine, seed = 7): CpuSet {
  const next = numbers(seed);
  return CpuSet.from(machine.online.toArray().filter(() => next() < 0.6));
}

/** The machines of the churn. */
export const FIVE: Readonly<Record<string, Machine>> = {
  "64 CPUs, 2 sockets": uniform({ sockets: 2, numaNodes: 1, l3s: 1, cores: 16, threads: 2 }),
  "96 CPUs, 4 NUMA nodes (SNC)": uniform({ sockets: 2, numaNodes: 2, l3s: 1, cores: 12, threads: 2 }),
  "256 CPUs, 8 NUMA nodes, 16 L3": uniform({ sockets: 2, numaNodes: 4, l3s: 2, cores: 8, threads: 2 }),
  "128 CPUs without SMT, 4 NUMA nodes": uniform({ sockets: 1, numaNodes: 4, l3s: 1, cores: 32, threads: 1 }),
  "192 CPUs, SMT 8, 4 NUMA nodes, 12 L3": uniform({ sockets: 2, numaNodes: 2, l3s: 3, cores: 2, threads: 8 }),
};
