import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Machine } from "../topology/machine.ts";
import { cpuAttributes, groupAttributes } from "./attributes.ts";
import { CPU_CAPACITY, cpuCapacity, gridOf } from "./capacity.ts";
import type { Device } from "./device.ts";
import { cpuName, cpuOrder, groupsOf, GROUP_BY, type GroupBy } from "./groups.ts";
import { pcieRootOf, type PcieRoots } from "./pcieroots.ts";

export type DeviceMode = "grouped" | "individual";

export interface DeviceOptions {
  readonly mode: DeviceMode;
  /** For grouped devices. */
  readonly groupBy: GroupBy;
  readonly reserved: CpuSet;
  /** How many CPUs are withheld for the shared pool. */
  readonly keepShared: number;
  /** The node gives whole cores only: capacities count whole cores, and claims ask in steps of one. */
  readonly wholeCores?: boolean;
  /** Published as `resource.kubernetes.io/pcieRoot`. */
  readonly pcieRoots?: PcieRoots;
  /** A device that touches several roots lists them; without, it has no such attribute. */
  readonly pcieRootLists?: boolean;
}

/** What this node offers, and which CPUs stand behind each name. */
export interface DevicePlan {
  readonly devices: readonly Device[];
  /** The same CPUs one by one, for an API server that does not keep shared devices. */
  readonly individual: readonly Device[];
  /** CPUs that claims on a device may get, for the names of every mode: a claim keeps its device when the mode is changed. */
  readonly candidates: ReadonlyMap<string, CpuSet>;
  /** The withheld CPUs: in no device and in no candidate set. */
  readonly keepShared: CpuSet;
  readonly problems: readonly string[];
}

/**
 * Devices as a function of the machine and the options. Names are physical identity: a change of reserved or online CPUs
 * never gives a name to another part of the machine.
 */
export function planDevices(machine: Machine, options: DeviceOptions): DevicePlan {
  const problems = [...machine.unknowns, ...(options.pcieRoots?.problems ?? [])];
  const unusable = options.reserved.minus(machine.present);
  if (!unusable.isEmpty)
    problems.push(
      `reserved CPUs ${unusable.toString()} (--reserved-cpus) do not exist on this machine; it has CPUs ${machine.present.toString()}`,
    );
  const usable = machine.online.minus(options.reserved);
  const keepShared = withheld(machine, usable, options.keepShared);
  const offered = usable.minus(keepShared);
  const individual = individualDevices(machine, offered, options);
  const devices = options.mode === "individual" ? individual : groupedDevices(machine, offered, options, problems);
  if (devices.length === 0) {
    problems.push(
      `no CPU is left to offer: of the online CPUs ${machine.online.toString()}, ${options.reserved.intersect(machine.online).size} are reserved and ${keepShared.size} are kept for the shared pool`,
    );
  }
  return { devices, individual, candidates: candidatesOf(machine, offered), keepShared, problems };
}

function candidatesOf(machine: Machine, offered: CpuSet): Map<string, CpuSet> {
  const candidates = new Map<string, CpuSet>();
  for (const groupBy of GROUP_BY)
    for (const { name, cpus } of groupsOf(machine, groupBy)) {
      const own = cpus.intersect(offered);
      if (!own.isEmpty) candidates.set(name, own);
    }
  for (const id of offered) candidates.set(cpuName(id), CpuSet.of(id));
  return candidates;
}

function groupedDevices(machine: Machine, offered: CpuSet, options: DeviceOptions, problems: string[]): Device[] {
  const devices: Device[] = [];
  const unlisted: string[] = [];
  const manyRooted: string[] = [];
  for (const group of groupsOf(machine, options.groupBy)) {
    const cpus = group.cpus.intersect(offered);
    const grid = gridOf(machine, cpus, options.wholeCores === true);
    if (grid.size === 0) {
      if (!cpus.isEmpty)
        problems.push(`${group.name} is not offered: none of its cores is whole (CPUs ${cpus.toString()})`);
      continue;
    }
    const attributes = groupAttributes(machine, cpus);
    if (attributes["dra.cpu/cpus"] === undefined) unlisted.push(group.name);
    const roots = options.pcieRoots?.roots ?? [];
    const root = pcieRootOf(roots, cpus, options.pcieRootLists === true);
    if (root !== undefined) attributes["resource.kubernetes.io/pcieRoot"] = root;
    else if (roots.some((one) => one.cpus.overlaps(cpus))) manyRooted.push(group.name);
    devices.push({
      name: group.name,
      attributes,
      allowMultipleAllocations: true,
      capacity: { [CPU_CAPACITY]: cpuCapacity(grid) },
    });
  }
  if (unlisted.length > 0)
    problems.push(
      `the attribute dra.cpu/cpus is left out of ${unlisted.join(", ")}: the list is longer than the 64 bytes of an attribute`,
    );
  if (manyRooted.length > 0)
    problems.push(
      `the attribute pcieRoot is left out of ${manyRooted.join(", ")}: several PCIe roots are near; group by a smaller unit, or use --pcie-root-lists`,
    );
  return devices;
}

function individualDevices(machine: Machine, offered: CpuSet, options: DeviceOptions): Device[] {
  return cpuOrder(machine, offered).map((cpu) => {
    const root = pcieRootOf(options.pcieRoots?.roots ?? [], CpuSet.of(cpu.id), options.pcieRootLists === true);
    return {
      name: cpuName(cpu.id),
      attributes: {
        ...cpuAttributes(machine, cpu),
        ...(root === undefined ? {} : { "resource.kubernetes.io/pcieRoot": root }),
      },
    };
  });
}

/** The first CPUs that no claim may have, core by core, so that whole cores are left. */
function withheld(machine: Machine, usable: CpuSet, count: number): CpuSet {
  let kept = CpuSet.empty;
  for (const core of machine.cores) {
    if (kept.size >= count) break;
    kept = kept.union(core.cpus.intersect(usable).lowest(count - kept.size));
  }
  return kept;
}
