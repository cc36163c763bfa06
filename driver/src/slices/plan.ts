import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Machine, NumaNode } from "../topology/machine.ts";
import type { Attribute, Capacity, Device } from "./device.ts";

/** Compared letter by letter by the scheduler, so the domain is part of it. */
export const CPU_CAPACITY = "dra.cpu/cpu";
/** A string attribute has at most 64 bytes (resource/v1 types.go). */
const MAX_STRING = 64;

export interface DeviceOptions {
  readonly mode: "grouped";
  readonly groupBy: "numanode";
  readonly reserved: CpuSet;
  /** How many CPUs are withheld for the shared pool. */
  readonly keepShared: number;
}

/** What this node offers, and which CPUs stand behind each name. */
export interface DevicePlan {
  readonly devices: readonly Device[];
  /** CPUs that claims on a device may get. */
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
  const problems = [...machine.unknowns];
  const unusable = options.reserved.minus(machine.present);
  if (!unusable.isEmpty) problems.push(`reserved CPUs ${unusable.toString()} do not exist on this machine`);
  const usable = machine.online.minus(options.reserved);
  const keepShared = withheld(machine, usable, options.keepShared);
  const offered = usable.minus(keepShared);
  const candidates = new Map<string, CpuSet>();
  const devices: Device[] = [];
  const placed = CpuSet.union(machine.numaNodes.map((node) => node.cpus));
  const homeless = machine.online.minus(placed);
  const nodes: NumaNode[] = [...machine.numaNodes];
  // A machine that tells no NUMA nodes is one node.
  if (!homeless.isEmpty) {
    const first = nodes.shift();
    nodes.unshift({
      id: first?.id ?? 0,
      cpus: homeless.union(first?.cpus ?? CpuSet.empty),
      distances: first?.distances ?? new Map(),
    });
  }
  for (const node of nodes) {
    const cpus = node.cpus.intersect(offered);
    if (cpus.isEmpty) continue;
    const name = `cpudevnuma${String(node.id).padStart(3, "0")}`;
    candidates.set(name, cpus);
    devices.push(numaDevice(machine, name, node.id, cpus));
  }
  if (devices.length === 0) {
    problems.push(
      `no CPU is left to offer: of the online CPUs ${machine.online.toString()}, ${options.reserved.intersect(machine.online).size} are reserved and ${keepShared.size} are kept for the shared pool`,
    );
  }
  return { devices, candidates, keepShared, problems };
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

function numaDevice(machine: Machine, name: string, numa: number, cpus: CpuSet): Device {
  const members = machine.cpus.filter((cpu) => cpus.has(cpu.id));
  const cores = machine.cores.filter((core) => core.cpus.overlaps(cpus));
  const attributes: Record<string, Attribute> = {
    "resource.kubernetes.io/numaNode": { int: numa },
    "dra.cpu/numaNodeID": { int: numa },
    "dra.net/numaNode": { int: numa },
    "dra.cpu/smtEnabled": { bool: machine.smt },
    "dra.cpu/numCPUs": { int: cpus.size },
    "dra.cpu/numCores": { int: cores.length },
    "dra.cpu/numFullCores": { int: cores.filter((core) => core.cpus.isSubsetOf(cpus)).length },
  };
  const only = (key: string, ids: readonly number[]): void => {
    const one = new Set(ids);
    const [id] = one;
    if (one.size === 1 && id !== undefined && id >= 0) attributes[key] = { int: id };
  };
  only(
    "dra.cpu/socketID",
    members.map((cpu) => cpu.socket),
  );
  only(
    "dra.cpu/dieID",
    members.map((cpu) => cpu.die),
  );
  only(
    "dra.cpu/clusterID",
    members.map((cpu) => cpu.cluster),
  );
  const text = cpus.toString();
  // Longer lists are left out rather than cut: half a list would be a wrong answer.
  if (text.length <= MAX_STRING) attributes["dra.cpu/cpus"] = { string: text };
  return { name, attributes, allowMultipleAllocations: true, capacity: { [CPU_CAPACITY]: cpuCapacity(cpus.size) } };
}

/** Where capacity < min + step the API server refuses a range, so a device of one CPU lists its one value. */
export function cpuCapacity(size: number): Capacity {
  const policy =
    size >= 2 ? { default: "1", validRange: { min: "1", step: "1" } } : { default: "1", validValues: ["1"] };
  return { value: String(size), requestPolicy: policy };
}
