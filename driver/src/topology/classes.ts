import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Reader } from "./files.ts";
import type { CoreType } from "./machine.ts";

/** Intel hybrid parts have a PMU for each kind of core (kernel: arch/x86/events/intel/core.c, `cpu_lowpower` since 6.11). */
const PMUS: readonly (readonly [string, CoreType])[] = [
  ["cpu_core", "performance"],
  ["cpu_atom", "efficiency"],
  ["cpu_lowpower", "low-power"],
];

/** A next weaker CPU below this part of a stronger one is of another class. */
const STEP = 0.8;

/**
 * The class of each CPU that is not `standard`. The first source that tells classes apart decides:
 *
 * 1. Intel: the PMUs' lists of CPUs. Among `cpu_atom` CPUs, those without a level 3 cache are low-power where others have one (the cores on the SoC tile of
 *    Meteor Lake, which has no PMU of their own for them).
 * 2. ARM and RISC-V: `cpu_capacity` (Documentation/arch/arm64/cpu-capacity / devicetree cpu-capacity), 1024 for the strongest.
 * 3. AMD: `cpufreq/amd_pstate_max_freq`. Since Linux 6.13 it differs between the classes of a heterogeneous part, dense cores having less, and is the same for
 *    all cores of a class. The preferred-core ranking is not asked: it differs on each core of ordinary parts, and changes at run time.
 *
 * For 2 and 3: in descending order, the first CPU that has less than four fifths of the one before it begins the efficiency class. Small differences, such
 * as those of favoured cores, make no classes.
 */
export function readClasses(reader: Reader, online: CpuSet, withL3: CpuSet): ReadonlyMap<number, CoreType> {
  const found = intelClasses(reader, online, withL3);
  if (found.size > 0) return found;
  for (const file of ["cpu_capacity", "cpufreq/amd_pstate_max_freq"]) {
    const classes = byStrength(reader, online, file);
    if (classes.size > 0) return classes;
  }
  return found;
}

function intelClasses(reader: Reader, online: CpuSet, withL3: CpuSet): Map<number, CoreType> {
  const found = new Map<number, CoreType>();
  for (const [pmu, type] of PMUS) {
    const cpus = reader.list(`/sys/devices/${pmu}/cpus`)?.intersect(online);
    if (cpus === undefined) continue;
    const outside = pmu === "cpu_atom" && cpus.overlaps(withL3);
    for (const cpu of cpus) found.set(cpu, outside && !withL3.has(cpu) ? "low-power" : type);
  }
  return found;
}

function byStrength(reader: Reader, online: CpuSet, file: string): Map<number, CoreType> {
  const strengths = new Map<number, number>();
  for (const cpu of online) {
    const strength = reader.number(cpu, file);
    if (strength !== undefined && strength > 0) strengths.set(cpu, strength);
  }
  const found = new Map<number, CoreType>();
  const values = [...new Set(strengths.values())].sort((a, b) => b - a);
  const step = values.findIndex((value, n) => n > 0 && value < STEP * (values[n - 1] ?? 0));
  if (step < 0) return found;
  const weaker = values[step] ?? 0;
  for (const [cpu, strength] of strengths) found.set(cpu, strength > weaker ? "performance" : "efficiency");
  return found;
}
