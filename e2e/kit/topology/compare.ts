import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

/** What `dracpu topology -o json` prints, as far as it is compared. */
export interface Ours {
  readonly online: string;
  readonly sockets: readonly Unit[];
  readonly dies: readonly Unit[];
  readonly numaNodes: readonly Unit[];
  readonly cores: readonly { readonly cpus: string }[];
  readonly caches: readonly { readonly level: number; readonly type: string; readonly cpus: string }[];
}

interface Unit {
  readonly id: number;
  readonly cpus: string;
}

/** Columns for `lscpu -p=`. */
export const LSCPU_COLUMNS = "CPU,CORE,SOCKET,NODE,CACHE";

/** Where `lscpu` says something else, one sentence each. Its core and socket numbers are its own, so that sets are compared. */
export function againstLscpu(ours: Ours, parsable: string): string[] {
  // Caches are columns of their own after the others, between commas or, in newer versions, colons.
  const columns = (/^# (CPU,.*)$/m.exec(parsable)?.[1] ?? "").split(/[,:]/);
  const levels = columns.flatMap((name, n) => (/^L\d/.test(name) ? [[name, n] as const] : []));
  const rows = parsable
    .split("\n")
    .filter((line) => /^\d/.test(line))
    .map((line) => line.split(/[,:]/));
  const by = (valueOf: (row: readonly string[]) => string | undefined): string[] => {
    const groups = new Map<string, number[]>();
    for (const row of rows) {
      const value = valueOf(row);
      if (value !== undefined && value !== "") groups.set(value, [...(groups.get(value) ?? []), Number(row[0])]);
    }
    return [...groups.values()].map((cpus) => CpuSet.from(cpus).toString()).sort();
  };
  const found = [
    ...differ("lscpu", "CPUs", [ours.online], [CpuSet.from(rows.map((row) => Number(row[0]))).toString()]),
    ...differ(
      "lscpu",
      "cores",
      setsOf(ours.cores),
      by((row) => row[1]),
    ),
    ...differ(
      "lscpu",
      "sockets",
      setsOf(ours.sockets),
      by((row) => row[2]),
    ),
    ...levels.flatMap(([level, n]) =>
      differ(
        "lscpu",
        `${level} caches`,
        setsOf(cachesOf(ours, level)),
        by((row) => row[n]),
      ),
    ),
  ];
  const nodes = new Map<number, number[]>();
  for (const row of rows) {
    if (row[3] === undefined || row[3] === "") continue;
    const id = Number(row[3]);
    nodes.set(id, [...(nodes.get(id) ?? []), Number(row[0])]);
  }
  // Without NUMA in the kernel, lscpu has no nodes either.
  const told = [...nodes].map(([id, cpus]) => ({ id, cpus: CpuSet.from(cpus).toString() }));
  return [...found, ...differ("lscpu", "NUMA nodes", named(ours.numaNodes), named(told))];
}

/** Where hwloc (`lstopo-no-graphics --of xml`) says something else. It leaves dies out that are whole sockets, and makes up a NUMA node where there is none. */
export function againstHwloc(ours: Ours, xml: string): string[] {
  const objects = [...xml.matchAll(/<object type="(\w+)"([^>]*)>/g)].map((m) => ({
    type: m[1] ?? "",
    id: Number(/ os_index="(\d+)"/.exec(m[2] ?? "")?.[1] ?? -1),
    cpus: maskToList(/ cpuset="([^"]*)"/.exec(m[2] ?? "")?.[1] ?? ""),
  }));
  const of = (type: string): Unit[] => objects.filter((one) => one.type === type);
  const caches = [
    ["L1d", "L1Cache"],
    ["L1i", "L1iCache"],
    ["L2", "L2Cache"],
    ["L3", "L3Cache"],
  ] as const;
  return [
    ...differ("hwloc", "CPUs", [ours.online], setsOf(of("Machine"))),
    ...differ("hwloc", "cores", setsOf(ours.cores), setsOf(of("Core"))),
    ...differ("hwloc", "sockets", named(ours.sockets), named(of("Package"))),
    ...(ours.dies.length > ours.sockets.length ? differ("hwloc", "dies", named(ours.dies), named(of("Die"))) : []),
    ...(ours.numaNodes.length > 0 ? differ("hwloc", "NUMA nodes", named(ours.numaNodes), named(of("NUMANode"))) : []),
    ...caches.flatMap(([level, type]) =>
      differ("hwloc", `${level} caches`, setsOf(cachesOf(ours, level)), setsOf(of(type))),
    ),
  ];
}

function cachesOf(ours: Ours, name: string): Ours["caches"] {
  const level = Number(name[1]);
  const type = name.endsWith("d") ? "Data" : name.endsWith("i") ? "Instruction" : "Unified";
  return ours.caches.filter((cache) => cache.level === level && cache.type === type);
}

function setsOf(units: readonly { readonly cpus: string }[]): string[] {
  return units.map((one) => one.cpus).sort();
}

function named(units: readonly Unit[]): string[] {
  return units.map((one) => `${one.id}: ${one.cpus}`).sort();
}

function differ(who: string, what: string, ours: readonly string[], theirs: readonly string[]): string[] {
  const [a, b] = [ours.join(" | "), theirs.join(" | ")];
  return a === b ? [] : [`${what}: ours ${a === "" ? "none" : a}; ${who} ${b === "" ? "none" : b}`];
}

/** hwloc prints 32-bit words, the highest first; an empty word is 0. */
function maskToList(mask: string): string {
  const ids: number[] = [];
  const words = mask.split(",").reverse();
  words.forEach((word, n) => {
    const bits = word === "" ? 0 : Number(word);
    for (let bit = 0; bit < 32; bit++) if ((bits >>> bit) & 1) ids.push(32 * n + bit);
  });
  return CpuSet.from(ids).toString();
}
