import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Core, CoreType, Cpu, L3Cache, Machine, NumaNode } from "./machine.ts";

/** The files of a machine. Paths are absolute, as in `/sys/devices/system/cpu/online`. */
export interface SysfsTree {
  /** Content; `undefined` where there is no such file or it cannot be read. */
  read(path: string): string | undefined;
  /** Names in a directory; empty where there is none. */
  list(path: string): readonly string[];
}

/** The machine cannot be told at all; the text names the file. */
export class TopologyFault extends Error {
  override readonly name = "TopologyFault";
}

const CPU = "/sys/devices/system/cpu";
const NODE = "/sys/devices/system/node";
/** cluster_id where the firmware tells none (kernel: -1 in 16 bits). */
const NO_CLUSTER = 65535;

/**
 * Reads the topology. Only a missing or unreadable `online` list is fatal; whatever else is missing becomes "unknown" and is told once,
 * and the CPU stays usable.
 *
 * @throws TopologyFault
 */
export function readMachine(tree: SysfsTree): Machine {
  const online = cpuList(tree, `${CPU}/online`);
  if (online === undefined) {
    throw new TopologyFault(
      `Cannot read ${CPU}/online: no list of CPUs is there; give the host's /sys with --sysfs-root`,
    );
  }
  if (online.isEmpty) throw new TopologyFault(`Cannot use ${CPU}/online: it names no CPU`);
  const missing = new Map<string, number[]>();
  const lacks = (what: string, cpu: number): void => {
    missing.set(what, [...(missing.get(what) ?? []), cpu]);
  };
  const numaOf = numaNodesByCpu(tree);
  const types = coreTypes(tree);
  const drafts = online.toArray().map((id) => draft(tree, id, numaOf, types, lacks));
  const cores = groupCores(drafts, online);
  const l3s = groupL3(drafts, online);
  const cpus = drafts.map((one): Cpu => {
    const { l3: _l3, siblings: _siblings, ...rest } = one;
    return {
      ...rest,
      core: cores.findIndex((core) => core.cpus.has(one.id)),
      l3: l3s.findIndex((l3) => l3.cpus.has(one.id)),
    };
  });
  return {
    cpus,
    online,
    present: cpuList(tree, `${CPU}/present`) ?? online,
    isolated: cpuList(tree, `${CPU}/isolated`) ?? CpuSet.empty,
    nohzFull: cpuList(tree, `${CPU}/nohz_full`) ?? CpuSet.empty,
    cores,
    numaNodes: numaNodes(tree, cpus),
    sockets: group(cpus, (cpu) => cpu.socket),
    l3s,
    smt: cores.some((core) => core.cpus.size > 1),
    unknowns: [...missing].map(([what, ids]) => `the kernel tells no ${what} of CPUs ${CpuSet.from(ids).toString()}`),
  };
}

interface Draft {
  readonly id: number;
  readonly coreId: number;
  readonly socket: number;
  readonly die: number;
  readonly cluster: number;
  readonly numa: number;
  readonly coreType: CoreType;
  readonly siblings: CpuSet | undefined;
  readonly l3: { readonly id: number | undefined; readonly cpus: CpuSet } | undefined;
}

function draft(
  tree: SysfsTree,
  id: number,
  numaOf: ReadonlyMap<number, number>,
  types: ReadonlyMap<number, CoreType>,
  lacks: (what: string, cpu: number) => void,
): Draft {
  const at = `${CPU}/cpu${id}`;
  const told = (what: string, value: number | undefined): number => {
    if (value === undefined || value < 0) lacks(what, id);
    return value === undefined || value < 0 ? -1 : value;
  };
  const cluster = number(tree, `${at}/topology/cluster_id`) ?? -1;
  const l3 = l3Of(tree, at);
  if (l3 === undefined) lacks("level 3 cache", id);
  return {
    id,
    coreId: told("core", number(tree, `${at}/topology/core_id`)),
    socket: told("socket", number(tree, `${at}/topology/physical_package_id`)),
    die: Math.max(-1, number(tree, `${at}/topology/die_id`) ?? -1),
    cluster: cluster === NO_CLUSTER ? -1 : Math.max(-1, cluster),
    numa: told("NUMA node", numaOf.get(id) ?? nodeEntry(tree, at)),
    coreType: types.get(id) ?? "standard",
    siblings: cpuList(tree, `${at}/topology/core_cpus_list`) ?? cpuList(tree, `${at}/topology/thread_siblings_list`),
    l3,
  };
}

/** Threads of a core: the kernel's sibling list, else CPUs with equal socket, die, cluster and core id, else the CPU alone. */
function groupCores(drafts: readonly Draft[], online: CpuSet): Core[] {
  const found = new Map<string, CpuSet>();
  for (const one of drafts) {
    const listed = one.siblings?.intersect(online);
    const key =
      listed !== undefined && listed.has(one.id)
        ? `list ${listed.toString()}`
        : one.coreId < 0
          ? `cpu ${one.id}`
          : `ids ${one.socket} ${one.die} ${one.cluster} ${one.coreId}`;
    found.set(key, (found.get(key) ?? CpuSet.empty).union(CpuSet.of(one.id)));
  }
  return [...found.values()].map((cpus) => ({ cpus })).sort((a, b) => a.cpus.first - b.cpus.first);
}

function groupL3(drafts: readonly Draft[], online: CpuSet): L3Cache[] {
  const found = new Map<string, L3Cache>();
  for (const one of drafts) {
    if (one.l3 === undefined) continue;
    const shared = one.l3.cpus.intersect(online).union(CpuSet.of(one.id));
    const key = shared.toString();
    found.set(key, { id: one.l3.id ?? shared.first, cpus: shared });
  }
  return [...found.values()].sort((a, b) => a.cpus.first - b.cpus.first);
}

function l3Of(tree: SysfsTree, at: string): Draft["l3"] {
  for (const index of tree.list(`${at}/cache`)) {
    if (!/^index\d+$/.test(index) || tree.read(`${at}/cache/${index}/level`)?.trim() !== "3") continue;
    const cpus = cpuList(tree, `${at}/cache/${index}/shared_cpu_list`);
    if (cpus !== undefined) return { id: number(tree, `${at}/cache/${index}/id`), cpus };
  }
  return undefined;
}

/** From the nodes' CPU lists, which hold no offline CPU; a CPU in two lists goes to the lower node. */
function numaNodesByCpu(tree: SysfsTree): Map<number, number> {
  const found = new Map<number, number>();
  for (const id of nodeIds(tree)) {
    for (const cpu of cpuList(tree, `${NODE}/node${id}/cpulist`) ?? CpuSet.empty)
      if (!found.has(cpu)) found.set(cpu, id);
  }
  return found;
}

function nodeEntry(tree: SysfsTree, at: string): number | undefined {
  const ids = tree.list(at).flatMap((name) => /^node(\d+)$/.exec(name)?.[1] ?? []);
  return ids.length === 0 ? undefined : Math.min(...ids.map(Number));
}

function nodeIds(tree: SysfsTree): number[] {
  return tree
    .list(NODE)
    .flatMap((name) => /^node(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

function numaNodes(tree: SysfsTree, cpus: readonly Cpu[]): NumaNode[] {
  const listed = nodeIds(tree);
  const ids = [...new Set([...listed, ...cpus.map((cpu) => cpu.numa).filter((id) => id >= 0)])].sort((a, b) => a - b);
  return ids.map((id) => {
    const texts = (tree.read(`${NODE}/node${id}/distance`) ?? "").trim().split(/\s+/);
    const distances = new Map<number, number>();
    // The kernel prints distances to online nodes in ascending order of their ids.
    if (texts.length === listed.length) listed.forEach((other, n) => distances.set(other, Number(texts[n])));
    return { id, cpus: CpuSet.from(cpus.filter((cpu) => cpu.numa === id).map((cpu) => cpu.id)), distances };
  });
}

/** Intel hybrid parts list their classes as PMUs; ARM tells a capacity per CPU (Documentation/arch/arm64/cpu-capacity). */
function coreTypes(tree: SysfsTree): Map<number, CoreType> {
  const found = new Map<number, CoreType>();
  const classes: readonly (readonly [string, CoreType])[] = [
    ["cpu_core", "performance"],
    ["cpu_atom", "efficiency"],
    ["cpu_lowpower", "low-power"],
  ];
  for (const [pmu, type] of classes)
    for (const cpu of cpuList(tree, `/sys/devices/${pmu}/cpus`) ?? CpuSet.empty) found.set(cpu, type);
  if (found.size > 0) return found;
  const capacities = new Map<number, number>();
  for (const cpu of cpuList(tree, `${CPU}/online`) ?? CpuSet.empty) {
    const capacity = number(tree, `${CPU}/cpu${cpu}/cpu_capacity`);
    if (capacity !== undefined) capacities.set(cpu, capacity);
  }
  const highest = Math.max(...capacities.values());
  if (new Set(capacities.values()).size > 1) {
    for (const [cpu, capacity] of capacities) found.set(cpu, capacity === highest ? "performance" : "efficiency");
  }
  return found;
}

function group(cpus: readonly Cpu[], idOf: (cpu: Cpu) => number): { readonly id: number; readonly cpus: CpuSet }[] {
  const found = new Map<number, number[]>();
  for (const cpu of cpus) if (idOf(cpu) >= 0) found.set(idOf(cpu), [...(found.get(idOf(cpu)) ?? []), cpu.id]);
  return [...found].map(([id, ids]) => ({ id, cpus: CpuSet.from(ids) })).sort((a, b) => a.id - b.id);
}

function number(tree: SysfsTree, path: string): number | undefined {
  const text = tree.read(path)?.trim();
  return text === undefined || !/^-?\d+$/.test(text) ? undefined : Number(text);
}

function cpuList(tree: SysfsTree, path: string): CpuSet | undefined {
  const text = tree.read(path);
  if (text === undefined) return undefined;
  try {
    // nohz_full prints "(null)" where it is not in use.
    return text.trim() === "(null)" ? CpuSet.empty : CpuSet.parse(text);
  } catch {
    return undefined;
  }
}
