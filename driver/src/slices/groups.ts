import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Cpu, Machine } from "../topology/machine.ts";

export type GroupBy = "numanode" | "socket" | "l3cache" | "machine";
export const GROUP_BY: readonly GroupBy[] = ["numanode", "socket", "l3cache", "machine"];

/** A named part of the machine: all its online CPUs, whoever may have them. */
export interface Group {
  readonly name: string;
  readonly cpus: CpuSet;
}

/**
 * Every CPU is in exactly one group of each kind. Names carry the kernel's ids, so that they stay with their part of the machine whatever
 * is reserved or offline.
 */
export function groupsOf(machine: Machine, groupBy: GroupBy): Group[] {
  if (groupBy === "machine") return [{ name: "cpudevmachine", cpus: machine.online }];
  if (groupBy === "l3cache") return l3Groups(machine);
  const prefix = groupBy === "numanode" ? "cpudevnuma" : "cpudevsocket";
  const idOf = (cpu: Cpu): number => (groupBy === "numanode" ? numaOf(machine, cpu) : socketOf(machine, cpu));
  return by(machine.cpus, idOf).map(([id, cpus]) => ({ name: named(prefix, id), cpus }));
}

/** A CPU of no known NUMA node belongs to the lowest one: a machine that tells no nodes is one node. */
export function numaOf(machine: Machine, cpu: Cpu): number {
  return cpu.numa >= 0 ? cpu.numa : (machine.numaNodes[0]?.id ?? 0);
}

function socketOf(machine: Machine, cpu: Cpu): number {
  return cpu.socket >= 0 ? cpu.socket : (machine.sockets[0]?.id ?? 0);
}

/** CPUs without a level 3 cache are grouped by NUMA node. */
function l3Groups(machine: Machine): Group[] {
  const cached = [...machine.l3s]
    .sort((a, b) => a.id - b.id)
    .map((l3) => ({ name: named("cpudevl3", l3.id), cpus: l3.cpus }));
  const bare = by(
    machine.cpus.filter((cpu) => cpu.l3 < 0),
    (cpu) => numaOf(machine, cpu),
  );
  return [...cached, ...bare.map(([id, cpus]) => ({ name: named("cpudevnol3numa", id), cpus }))];
}

export function cpuName(id: number): string {
  return named("cpudev", id);
}

function named(prefix: string, id: number): string {
  return `${prefix}${String(id).padStart(3, "0")}`;
}

function by(cpus: readonly Cpu[], idOf: (cpu: Cpu) => number): [number, CpuSet][] {
  const found = new Map<number, number[]>();
  for (const cpu of cpus) {
    const id = idOf(cpu);
    const members = found.get(id);
    if (members === undefined) found.set(id, [cpu.id]);
    else members.push(cpu.id);
  }
  return [...found].sort(([a], [b]) => a - b).map(([id, ids]) => [id, CpuSet.from(ids)]);
}

/**
 * CPUs in the order of individual devices. The scheduler takes the first that fit, so threads of a core follow each other, and NUMA nodes,
 * sockets, dies and L3 domains stay together. Threads whose siblings are not offered come last in their NUMA node: before a whole core
 * they would make every claim of two split it.
 */
export function cpuOrder(machine: Machine, offered: CpuSet): Cpu[] {
  const keys = new Map<number, readonly number[]>();
  for (const cpu of machine.cpus) {
    if (!offered.has(cpu.id)) continue;
    const core = machine.cores[cpu.core]?.cpus ?? CpuSet.of(cpu.id);
    const lone = core.isSubsetOf(offered) ? 0 : 1;
    const l3 = machine.l3s[cpu.l3]?.cpus.first ?? -1;
    keys.set(cpu.id, [numaOf(machine, cpu), lone, cpu.socket, cpu.die, l3, core.first, cpu.id]);
  }
  return machine.cpus
    .filter((cpu) => keys.has(cpu.id))
    .sort((a, b) => compare(keys.get(a.id) ?? [], keys.get(b.id) ?? []));
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [n, one] of a.entries()) {
    const other = b[n] ?? 0;
    if (one !== other) return one - other;
  }
  return 0;
}

/** True for the name of a device that is one CPU. Claims keep their devices' names whatever mode the node is in by now. */
export function isSingle(device: string): boolean {
  return /^cpudev\d+$/.test(device);
}
