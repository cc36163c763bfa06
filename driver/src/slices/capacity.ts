import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Machine } from "../topology/machine.ts";
import type { Capacity } from "./device.ts";

/** Compared letter by letter by the scheduler, so the domain is part of it. */
export const CPU_CAPACITY = "dra.cpu/cpu";

/** How many CPUs of a device claims can get, and in which steps. */
export interface Grid {
  readonly size: number;
  readonly step: number;
}

/**
 * With whole cores only cores count whose every thread is on the device, and the step is the greatest that all of them are multiples of:
 * the threads of a core where cores are alike, 1 where some have one thread and some two. Without, every CPU counts.
 */
export function gridOf(machine: Machine, cpus: CpuSet, wholeCores: boolean): Grid {
  if (!wholeCores) return { size: cpus.size, step: 1 };
  const sizes = machine.cores.filter((core) => core.cpus.isSubsetOf(cpus)).map((core) => core.cpus.size);
  return { size: sizes.reduce((sum, size) => sum + size, 0), step: sizes.reduce(divisor, 0) };
}

/**
 * Without a request policy a claim that asks nothing gets the whole device, and fractions pass. Where capacity < min + step the API server
 * refuses a range, so such a device lists its one value.
 */
export function cpuCapacity({ size, step }: Grid): Capacity {
  const one = String(step);
  const requestPolicy =
    size >= 2 * step ? { default: one, validRange: { min: one, step: one } } : { default: one, validValues: [one] };
  return { value: String(size), requestPolicy };
}

function divisor(a: number, b: number): number {
  return b === 0 ? a : divisor(b, a % b);
}
