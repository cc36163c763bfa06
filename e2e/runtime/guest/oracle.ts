import { execFileSync } from "node:child_process";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

interface Thread {
  readonly cpu: number;
  readonly core: number;
  readonly socket: number;
  readonly node: number;
  readonly l3: number;
}

export const LSCPU = "-p=cpu,core,socket,node,cache";

export type Unit = "core" | "l3" | "node" | "socket";
export type Strategy = "packed" | "spread" | "distributed";

/** The machine as lscpu tells it, and what docs/allocation.md says of a good set of its CPUs: nothing of the driver's code is asked. */
export class Oracle {
  readonly online: CpuSet;
  readonly #threads: readonly Thread[];

  /** @param table what `lscpu -p=cpu,core,socket,node,cache` says; of this machine where it is not given. */
  constructor(table = execFileSync("lscpu", [LSCPU], { encoding: "utf8" })) {
    const lines = table.split("\n");
    // The columns are named in the last comment; some versions part caches by colons.
    const header = lines.findLast((line) => line.startsWith("# CPU,")) ?? "";
    const columns = header.slice(2).split(/[,:]/);
    this.#threads = lines
      .filter((line) => /^\d/.test(line))
      .map((line) => {
        const fields = line.split(/[,:]/);
        const id = (column: string): number => Number(fields[columns.indexOf(column)]);
        return { cpu: id("CPU"), core: id("Core"), socket: id("Socket"), node: id("Node"), l3: id("L3") };
      });
    this.online = CpuSet.from(this.#threads.map((one) => one.cpu));
  }

  /** All CPUs of each, lowest first. */
  units(unit: Unit): CpuSet[] {
    return [...by(this.#threads, unit).values()].map((threads) => CpuSet.from(threads.map((one) => one.cpu)));
  }

  siblings(cpus: CpuSet): CpuSet {
    return CpuSet.union(this.units("core").filter((core) => core.overlaps(cpus))).minus(cpus);
  }

  /** How good a set is, most important first; less is better. */
  quality(strategy: Strategy, cpus: CpuSet): readonly number[] {
    const taken = this.#threads.filter((one) => cpus.has(one.cpu));
    const touched = (unit: Unit): number => by(taken, unit).size;
    const shares = [...by(taken, "node").values()].map((threads) => threads.length);
    const cores = this.units("core").filter((core) => core.overlaps(cpus));
    const split = cores.filter((core) => !core.isSubsetOf(cpus)).length;
    switch (strategy) {
      case "packed":
        return [touched("node"), touched("socket"), touched("l3"), split];
      case "spread":
        return [touched("node"), touched("socket"), cpus.size - cores.length, touched("l3")];
      case "distributed":
        return [touched("node"), Math.max(...shares) - Math.min(...shares), split];
    }
  }

  /** The best quality of any set of so many of these CPUs: all are tried. */
  best(strategy: Strategy, open: CpuSet, count: number): readonly number[] {
    const ids = open.toArray();
    let best: readonly number[] | undefined;
    const pick = (from: number, picked: readonly number[]): void => {
      if (picked.length === count) {
        const found = this.quality(strategy, CpuSet.from(picked));
        if (best === undefined || compare(found, best) < 0) best = found;
        return;
      }
      for (let at = from; at <= ids.length - (count - picked.length); at++) pick(at + 1, [...picked, ids[at] ?? 0]);
    };
    pick(0, []);
    if (best === undefined) throw new Error(`there are no ${count} CPUs in ${open.toString()}`);
    return best;
  }
}

function by(threads: readonly Thread[], unit: Unit): Map<number, Thread[]> {
  const groups = new Map<number, Thread[]>();
  for (const thread of threads) groups.set(thread[unit], [...(groups.get(thread[unit]) ?? []), thread]);
  return groups;
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) if (value !== b[index]) return value - (b[index] ?? 0);
  return 0;
}
