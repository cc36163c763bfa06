import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { cpuOf, type Machine } from "./machine.ts";

/** Something that holds CPUs. Units with the same CPUs are one line. */
export interface Unit {
  /** Outermost first, such as `Socket` and `NUMA node`, with their ids and what is said of them. */
  readonly names: { readonly kind: string; readonly id: number; readonly more: string }[];
  readonly cpus: CpuSet;
  readonly children: Unit[];
}

/** The whole machine, nested; a unit is inside the innermost one that holds all of it. */
export function nestedUnits(machine: Machine): Unit {
  const top: Unit = { names: [], cpus: machine.online, children: [] };
  for (const unit of unitsOf(machine)) place(top, unit);
  return top;
}

function unitsOf(machine: Machine): Unit[] {
  const unit = (kind: string, id: number, cpus: CpuSet, more = ""): Unit => ({
    names: [{ kind, id, more }],
    cpus,
    children: [],
  });
  const several = machine.dies.length > machine.sockets.length;
  const wide = machine.clusters.filter((cluster) => cluster.cpus.size > 1);
  const big = machine.caches.filter((cache) => cache.level > 1 && cache.type !== "Instruction");
  const cores = machine.cores.map((core) => {
    const id = cpuOf(machine, core.cpus.first)?.coreId ?? -1;
    return unit("Core", id, core.cpus, "");
  });
  return [
    ...machine.sockets.map((one) => unit("Socket", one.id, one.cpus)),
    ...(several ? machine.dies.map((one) => unit("Die", one.id, one.cpus)) : []),
    ...machine.numaNodes.filter((one) => !one.cpus.isEmpty).map((one) => unit("NUMA node", one.id, one.cpus)),
    ...big.sort((a, b) => b.level - a.level).map((one) => unit(`L${one.level}`, one.id, one.cpus, size(one.sizeKiB))),
    ...wide.map((one) => unit("Cluster", one.id, one.cpus)),
    ...cores,
  ].sort((a, b) => b.cpus.size - a.cpus.size || rankOf(a) - rankOf(b) || a.cpus.first - b.cpus.first);
}

const KINDS = ["Socket", "Die", "NUMA node", "L4", "L3", "Cluster", "L2", "Core"];

function rankOf(unit: Unit): number {
  return KINDS.indexOf(unit.names[0]?.kind ?? "");
}

/** Into the innermost unit that holds all of it; units come largest first, so that a unit which overlaps others stays above them. */
function place(top: Unit, unit: Unit): void {
  let at = top;
  for (;;) {
    const inner = at.children.find((child) => unit.cpus.isSubsetOf(child.cpus));
    if (inner === undefined) break;
    if (inner.cpus.equals(unit.cpus)) {
      inner.names.push(...unit.names);
      return;
    }
    at = inner;
  }
  at.children.push(unit);
}

function size(sizeKiB: number | undefined): string {
  if (sizeKiB === undefined) return "";
  return sizeKiB % 1024 === 0 ? `${sizeKiB / 1024} MiB` : `${sizeKiB} KiB`;
}
