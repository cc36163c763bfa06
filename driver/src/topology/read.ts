import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { readCaches } from "./caches.ts";
import { readClasses } from "./classes.ts";
import { CPU, CPUINFO, ONLINE, push, readCpuinfo, Reader, type CpuinfoEntry, type SysfsTree } from "./files.ts";
import type { Cache, Cluster, Core, Cpu, Die, Machine, Socket } from "./machine.ts";
import { readNumaNodes, readNumaOf } from "./numa.ts";

export type { SysfsTree } from "./files.ts";

/** The machine cannot be told at all; the text names the file. */
export class TopologyFault extends Error {
  override readonly name = "TopologyFault";
}

/** cluster_id where the firmware tells none (kernel: -1 in 16 bits). */
const NO_CLUSTER = 65535;

/**
 * Reads the topology from sysfs, and from `/proc/cpuinfo` where sysfs is silent. Only a machine without a list of online CPUs is fatal; whatever else is missing
 * becomes "unknown" and is told once, and the CPU stays usable.
 *
 * @throws TopologyFault
 */
export function readMachine(tree: SysfsTree): Machine {
  const reader = new Reader(tree);
  let info: ReadonlyMap<number, CpuinfoEntry> | undefined;
  // Asked late: on most machines sysfs tells everything, and the file is long.
  const cpuinfo = (): ReadonlyMap<number, CpuinfoEntry> => (info ??= readCpuinfo(reader));
  const online = onlineCpus(reader, cpuinfo);
  const caches = readCaches(reader, online);
  const l3s = caches.filter((cache) => cache.level === 3);
  const ids = readIds(reader, online, cpuinfo);
  const cores = groupCores(reader, ids, online);
  const coreOf = indexByCpu(cores);
  const l3Of = indexByCpu(l3s);
  const numaOf = readNumaOf(reader, online);
  const types = readClasses(reader, online, CpuSet.union(l3s.map((l3) => l3.cpus)));
  const cpus = ids.map((one): Cpu => {
    const numa = numaOf.get(one.id) ?? -1;
    const l3 = l3Of.get(one.id) ?? -1;
    if (numa < 0) reader.doubts.missing("NUMA node", one.id);
    if (l3 < 0) reader.doubts.missing("level 3 cache", one.id);
    return { ...one, core: coreOf.get(one.id) ?? -1, numa, l3, coreType: types.get(one.id) ?? "standard" };
  });
  return {
    cpus,
    online,
    present: (reader.list(`${CPU}/present`) ?? online).union(online),
    isolated: reader.list(`${CPU}/isolated`) ?? CpuSet.empty,
    nohzFull: reader.list(`${CPU}/nohz_full`) ?? CpuSet.empty,
    cores,
    numaNodes: readNumaNodes(reader, cpus),
    sockets: socketsOf(cpus),
    dies: diesOf(cpus),
    clusters: clustersOf(cpus),
    caches,
    l3s: l3s.map(({ id, cpus: shared }) => ({ id, cpus: shared })),
    smt: cores.some((core) => core.cpus.size > 1),
    unknowns: reader.doubts.sentences(),
  };
}

function onlineCpus(reader: Reader, cpuinfo: () => ReadonlyMap<number, CpuinfoEntry>): CpuSet {
  const listed = reader.list(ONLINE);
  const online = reader.tree.whereIs(ONLINE);
  if (listed !== undefined) {
    if (listed.isEmpty) throw new TopologyFault(`Cannot use ${online}: it names no CPU; a list such as 0-7 is wanted`);
    return listed;
  }
  const known = [...cpuinfo().keys()].filter((id) => id <= 16383);
  if (known.length === 0) {
    const why = reader.doubts.sentences();
    throw new TopologyFault(
      `Cannot tell the machine's CPUs: ${why.length === 0 ? `${online} does not exist` : why.join(", ")}, and ${reader.tree.whereIs(CPUINFO)} names none; give the host's /sys with --sysfs-root`,
    );
  }
  reader.doubts.say(`there is no usable ${online}; the CPUs are those of ${reader.tree.whereIs(CPUINFO)}`);
  return CpuSet.from(known);
}

type Ids = Pick<Cpu, "id" | "coreId" | "socket" | "die" | "cluster">;

function readIds(reader: Reader, online: CpuSet, cpuinfo: () => ReadonlyMap<number, CpuinfoEntry>): readonly Ids[] {
  return online.toArray().map((id) => {
    const coreId = reader.number(id, "topology/core_id") ?? cpuinfo().get(id)?.coreId;
    const socket = reader.number(id, "topology/physical_package_id") ?? cpuinfo().get(id)?.socket;
    const cluster = reader.number(id, "topology/cluster_id") ?? -1;
    if (coreId === undefined) reader.doubts.missing("core", id);
    if (socket === undefined) reader.doubts.missing("socket", id);
    return {
      id,
      coreId: coreId ?? -1,
      socket: socket ?? -1,
      die: reader.number(id, "topology/die_id") ?? -1,
      cluster: cluster === NO_CLUSTER ? -1 : cluster,
    };
  });
}

/**
 * Threads of a core: the kernel's sibling list, else CPUs with equal socket, die, cluster and core id, else the CPU alone. A CPU is where its own
 * list puts it, so that lists which contradict each other still give disjoint cores.
 */
function groupCores(reader: Reader, ids: readonly Ids[], online: CpuSet): Core[] {
  const listed = new Map<CpuSet, number[]>();
  const keyed = new Map<string, number[]>();
  for (const one of ids) {
    const list =
      reader.listOf(one.id, "topology/core_cpus_list") ?? reader.listOf(one.id, "topology/thread_siblings_list");
    if (list?.has(one.id) === true) push(listed, reader.same(list.intersect(online)), one.id);
    else {
      if (list !== undefined) reader.doubts.garbled("the list of their siblings does not name the CPU itself", one.id);
      const known = one.coreId >= 0;
      push(keyed, known ? `${one.socket} ${one.die} ${one.cluster} ${one.coreId}` : `CPU ${one.id}`, one.id);
    }
  }
  for (const [list, members] of listed)
    if (members.length !== list.size)
      for (const cpu of members)
        reader.doubts.garbled("their core is shared, they say, with CPUs that do not say so", cpu);
  return [...listed.values(), ...keyed.values()]
    .sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0))
    .map((members) => ({ cpus: CpuSet.from(members) }));
}

function indexByCpu(groups: readonly (Core | Cache)[]): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  groups.forEach((group, n) => {
    for (const cpu of group.cpus) found.set(cpu, n);
  });
  return found;
}

function socketsOf(cpus: readonly Cpu[]): Socket[] {
  return grouped(cpus, (cpu) => [cpu.socket]).map(([{ socket }, ids]) => ({ id: socket, cpus: ids }));
}

function diesOf(cpus: readonly Cpu[]): Die[] {
  return grouped(cpus, (cpu) => [cpu.die, cpu.socket]).map(([{ socket, die }, ids]) => ({
    socket,
    id: die,
    cpus: ids,
  }));
}

function clustersOf(cpus: readonly Cpu[]): Cluster[] {
  return grouped(cpus, (cpu) => [cpu.cluster, cpu.die, cpu.socket]).map(([{ socket, die, cluster }, ids]) => ({
    socket,
    die,
    id: cluster,
    cpus: ids,
  }));
}

/** Groups of CPUs with equal ids, innermost first; CPUs whose innermost is unknown are in none. Sorted, outermost first. */
function grouped(cpus: readonly Cpu[], idsOf: (cpu: Cpu) => readonly number[]): (readonly [Cpu, CpuSet])[] {
  const found = new Map<string, Cpu[]>();
  for (const cpu of cpus) if ((idsOf(cpu)[0] ?? -1) >= 0) push(found, idsOf(cpu).join(" "), cpu);
  return [...found.values()]
    .flatMap((members) => (members[0] === undefined ? [] : [[members[0], members] as const]))
    .sort(([a], [b]) => a.socket - b.socket || a.die - b.die || a.cluster - b.cluster)
    .map(([first, members]) => [first, CpuSet.from(members.map((cpu) => cpu.id))]);
}
