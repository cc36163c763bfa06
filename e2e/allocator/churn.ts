import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { allocate, type Policy } from "../../driver/src/allocator/allocate.ts";
import type { Machine } from "../../driver/src/topology/machine.ts";
import { numbers } from "./fixtures.ts";

/** CPUs of a claim: mostly small and even, some odd, few large. */
export const SIZES = [1, 1, 2, 2, 2, 2, 3, 4, 4, 4, 4, 6, 8, 8, 8, 12, 16, 24, 32] as const;

export interface Churned {
  readonly claims: number;
  readonly refused: number;
  /** Claims that touch more units than the fewest that hold so many free CPUs; for L3, inside the NUMA nodes they have. */
  readonly crossedNuma: number;
  readonly crossedSocket: number;
  readonly crossedL3: number;
  /** At the end. */
  readonly held: number;
  readonly free: number;
  readonly freeOnWholeCores: number;
  /** L3 domains that are neither free nor full. */
  readonly partL3s: number;
  readonly largestInL3: number;
  readonly largestInNuma: number;
}

/** `events` arrivals and departures around `load` (0 … 1) of the machine. Throws where a CPU would be held twice. */
export function churn(machine: Machine, events: number, policy: Policy, load = 0.8, seed = 11): Churned {
  const next = numbers(seed);
  const held: CpuSet[] = [];
  let free = machine.online;
  const count = { claims: 0, refused: 0, crossedNuma: 0, crossedSocket: 0, crossedL3: 0 };
  for (let event = 0; event < events; event++) {
    const used = 1 - free.size / machine.online.size;
    if (held.length > 0 && next() < (used > load ? 0.7 : 0.3)) {
      const gone = held.splice(Math.floor(next() * held.length), 1)[0] ?? CpuSet.empty;
      free = free.union(gone);
      continue;
    }
    const wanted = SIZES[Math.floor(next() * SIZES.length)] ?? 1;
    const answer = allocate(machine, free, wanted, policy);
    count.claims++;
    if (answer.kind === "shortfall") {
      count.refused++;
      continue;
    }
    const taken = answer.cpus.union(answer.idle);
    if (!taken.isSubsetOf(free)) throw new Error(`CPUs ${taken.minus(free).toString()} are held twice`);
    const nodes = machine.numaNodes.filter((node) => node.cpus.overlaps(taken));
    const inNodes = CpuSet.union(nodes.map((node) => node.cpus)).intersect(free);
    if (needless(machine.numaNodes, free, taken)) count.crossedNuma++;
    if (needless(machine.sockets, inNodes, taken)) count.crossedSocket++;
    if (needless(machine.l3s, inNodes, taken)) count.crossedL3++;
    held.push(taken);
    free = free.minus(taken);
  }
  const largest = (units: readonly { cpus: CpuSet }[]): number =>
    Math.max(0, ...units.map((unit) => unit.cpus.intersect(free).size));
  const whole = machine.cores.filter((core) => core.cpus.isSubsetOf(free));
  return {
    ...count,
    held: held.length,
    free: free.size,
    freeOnWholeCores: whole.reduce((sum, core) => sum + core.cpus.size, 0),
    partL3s: machine.l3s.filter((l3) => l3.cpus.overlaps(free) && !l3.cpus.isSubsetOf(free)).length,
    largestInL3: largest(machine.l3s),
    largestInNuma: largest(machine.numaNodes),
  };
}

function needless(units: readonly { cpus: CpuSet }[], free: CpuSet, taken: CpuSet): boolean {
  const touched = units.filter((unit) => unit.cpus.overlaps(taken)).length;
  const most = units.map((unit) => unit.cpus.intersect(free).size).sort((a, b) => b - a);
  let fewest = 0;
  for (let sum = 0; sum < taken.size && fewest < most.length; fewest++) sum += most[fewest] ?? 0;
  return touched > fewest;
}
