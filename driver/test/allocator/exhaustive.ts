import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Policy } from "../../src/allocator/allocate.ts";
import type { Machine } from "../../src/topology/machine.ts";

/** An answer weighed from the machine alone, without the allocator's tables. */
export interface Weighed {
  readonly numa: number;
  /** Least and largest share of a NUMA node. */
  readonly shares: readonly [number, number];
  readonly squares: number;
  /** The objective in its order, as docs/allocation.md has it. */
  readonly cost: readonly number[];
}

export function weighed(machine: Machine, free: CpuSet, cpus: readonly number[], policy: Policy): Weighed {
  const byId = new Map(machine.cpus.map((cpu) => [cpu.id, cpu]));
  const taken = cpus.flatMap((id) => byId.get(id) ?? []);
  const count = <K>(key: (cpu: (typeof taken)[number]) => K): Map<K, number> => {
    const counts = new Map<K, number>();
    for (const cpu of taken) counts.set(key(cpu), (counts.get(key(cpu)) ?? 0) + 1);
    return counts;
  };
  const domain = (cpu: (typeof taken)[number]): string => (cpu.l3 < 0 ? `${cpu.numa}/${cpu.socket}` : `${cpu.l3}`);
  const nodes = count((cpu) => cpu.numa);
  const sockets = count((cpu) => cpu.socket);
  const l3s = count(domain);
  const cores = count((cpu) => cpu.core);
  const loose = (inside: (cpu: (typeof taken)[number]) => boolean): number =>
    machine.cpus.filter((cpu) => free.has(cpu.id) && inside(cpu)).length;
  let distance = 0;
  for (const a of nodes.keys()) {
    for (const b of nodes.keys()) {
      if (a < b) distance += machine.numaNodes.find(({ id }) => id === a)?.distances.get(b) ?? 0;
    }
  }
  const size = (core: number): number => machine.cores[core]?.cpus.size ?? 0;
  const split = policy.cores === "any" ? [...cores].filter(([core, n]) => n < size(core)).length : 0;
  const shared = [...cores.values()].filter((n) => n > 1);
  const sharing = shared.reduce((sum, n) => sum + n, 0);
  const pairs = shared.reduce((sum, n) => sum + (n * (n - 1)) / 2, 0);
  const squares = [...nodes.values()].reduce((sum, n) => sum + n * n, 0);
  const looseNuma = loose((cpu) => nodes.has(cpu.numa));
  const looseSocket = loose((cpu) => sockets.has(cpu.socket));
  const looseL3 = loose((cpu) => l3s.has(domain(cpu)));
  const looseCore = loose((cpu) => cores.has(cpu.core));
  const first = policy.l3 === "any" ? [] : [l3s.size];
  const tight = [looseNuma, looseSocket, ...(policy.l3 === "any" ? [l3s.size] : []), looseL3, looseCore];
  const cost = {
    packed: [nodes.size, distance, sockets.size, ...first, split, ...tight],
    spread: [nodes.size, distance, sockets.size, sharing, pairs, ...first, ...tight],
    distributed: [nodes.size, distance, split, squares, sockets.size, ...first, ...tight],
  }[policy.strategy];
  const shares = [Math.min(...nodes.values()), Math.max(...nodes.values())] as const;
  return { numa: nodes.size, shares, squares, cost };
}

/** Whether the policy allows this set, apart from its size. */
export function legal(machine: Machine, free: CpuSet, cpus: CpuSet, policy: Policy): boolean {
  if (!cpus.isSubsetOf(free)) return false;
  const taken = machine.cpus.filter((cpu) => cpus.has(cpu.id));
  if (policy.l3 === "require" && (taken.some((cpu) => cpu.l3 < 0) || new Set(taken.map((cpu) => cpu.l3)).size > 1))
    return false;
  const efficient = (type: string): boolean => type === "efficiency" || type === "low-power";
  if (policy.coreType !== "any" && taken.some((cpu) => efficient(cpu.coreType) !== (policy.coreType === "efficiency")))
    return false;
  return machine.cores.every((core) => {
    const n = core.cpus.intersect(cpus).size;
    if (n === 0 || policy.cores === "any") return true;
    return core.cpus.isSubsetOf(free) && n === (policy.cores === "whole" ? core.cpus.size : 1);
  });
}

export function compare(a: readonly number[], b: readonly number[]): number {
  for (const [at, value] of a.entries()) if (value !== b[at]) return value - (b[at] ?? 0);
  return 0;
}

/** The least cost of any legal set of `wanted` CPUs, by trying all of them; undefined where there is none. */
export function best(machine: Machine, free: CpuSet, wanted: number, policy: Policy): Weighed | undefined {
  const open = free.toArray();
  let all: Weighed[] = [];
  const pick = (from: number, picked: readonly number[]): void => {
    if (picked.length === wanted) {
      if (legal(machine, free, CpuSet.from(picked), policy)) all.push(weighed(machine, free, picked, policy));
      return;
    }
    for (let at = from; at <= open.length - (wanted - picked.length); at++) pick(at + 1, [...picked, open[at] ?? -1]);
  };
  pick(0, []);
  if (policy.strategy === "distributed") {
    const even = all.reduce(
      (a, b) => (compare([b.numa, b.squares], [a.numa, a.squares]) < 0 ? b : a),
      all[0] as Weighed,
    );
    all = all.filter(
      ({ numa, shares }) => numa === even.numa && shares[0] >= even.shares[0] && shares[1] <= even.shares[1],
    );
  }
  return all.reduce<Weighed | undefined>((a, b) => (a === undefined || compare(b.cost, a.cost) < 0 ? b : a), undefined);
}
