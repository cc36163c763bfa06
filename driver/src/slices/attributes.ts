import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { CoreType, Cpu, Machine } from "../topology/machine.ts";
import type { Attribute } from "./device.ts";
import { numaOf } from "./groups.ts";

type Attributes = Record<string, Attribute>;

/** resource/v1 DeviceAttributeMaxValueLength, in bytes. */
const MAX_STRING = 64;

/** The names that selectors are written against; those of the first three are the reference driver's. */
export const CORE_TYPES: Readonly<Record<CoreType, string>> = {
  standard: "standard",
  performance: "p-core",
  efficiency: "e-core",
  "low-power": "lp-e-core",
};

const COUNTS: Readonly<Record<CoreType, string>> = {
  standard: "dra.cpu/numStandardCPUs",
  performance: "dra.cpu/numPerformanceCPUs",
  efficiency: "dra.cpu/numEfficiencyCPUs",
  "low-power": "dra.cpu/numLowPowerCPUs",
};

/** Of a group with the CPUs that are offered. What is not one for all its CPUs is left out. */
export function groupAttributes(machine: Machine, cpus: CpuSet): Attributes {
  const members = machine.cpus.filter((cpu) => cpus.has(cpu.id));
  const cores = machine.cores.filter((core) => core.cpus.overlaps(cpus));
  const types = new Map<CoreType, number>();
  for (const cpu of members) types.set(cpu.coreType, (types.get(cpu.coreType) ?? 0) + 1);
  const attributes: Attributes = {
    ...numa(only(members, (cpu) => numaOf(machine, cpu))),
    ...int(
      "dra.cpu/socketID",
      only(members, (cpu) => cpu.socket),
    ),
    ...int(
      "dra.cpu/dieID",
      only(members, (cpu) => cpu.die),
    ),
    ...int(
      "dra.cpu/clusterID",
      only(members, (cpu) => cpu.cluster),
    ),
    ...int(
      "dra.cpu/cacheL3ID",
      only(members, (cpu) => machine.l3s[cpu.l3]?.id ?? -1),
    ),
    "dra.cpu/smtEnabled": { bool: machine.smt },
    "dra.cpu/isolated": { bool: cpus.isSubsetOf(machine.isolated) },
    "dra.cpu/numIsolatedCPUs": { int: cpus.intersect(machine.isolated).size },
    "dra.cpu/numCPUs": { int: cpus.size },
    "dra.cpu/numCores": { int: cores.length },
    "dra.cpu/numFullCores": { int: cores.filter((core) => core.cpus.isSubsetOf(cpus)).length },
  };
  const [type] = types.keys();
  if (types.size === 1 && type !== undefined) attributes["dra.cpu/coreType"] = { string: CORE_TYPES[type] };
  else for (const [one, count] of types) attributes[COUNTS[one]] = { int: count };
  const text = cpus.toString();
  // Half a list would be a wrong answer.
  if (text.length <= MAX_STRING) attributes["dra.cpu/cpus"] = { string: text };
  return attributes;
}

export function cpuAttributes(machine: Machine, cpu: Cpu): Attributes {
  return {
    ...numa(numaOf(machine, cpu)),
    ...int("dra.cpu/socketID", cpu.socket),
    ...int("dra.cpu/dieID", cpu.die),
    ...int("dra.cpu/clusterID", cpu.cluster),
    ...int("dra.cpu/coreID", cpu.coreId),
    "dra.cpu/cpuID": { int: cpu.id },
    // -1 where there is none: published even so, since readers of the reference's contract expect it on every CPU.
    "dra.cpu/cacheL3ID": { int: machine.l3s[cpu.l3]?.id ?? -1 },
    "dra.cpu/coreType": { string: CORE_TYPES[cpu.coreType] },
    "dra.cpu/smtEnabled": { bool: machine.smt },
    "dra.cpu/isolated": { bool: machine.isolated.has(cpu.id) },
  };
}

function numa(id: number): Attributes {
  return {
    ...int("resource.kubernetes.io/numaNode", id),
    ...int("dra.cpu/numaNodeID", id),
    ...int("dra.net/numaNode", id),
  };
}

/** The one value of all, else -1. */
function only(members: readonly Cpu[], value: (cpu: Cpu) => number): number {
  const [first, ...more] = new Set(members.map(value));
  return first !== undefined && more.length === 0 ? first : -1;
}

function int(name: string, value: number): Attributes {
  return value < 0 ? {} : { [name]: { int: value } };
}
