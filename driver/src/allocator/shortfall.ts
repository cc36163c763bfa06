import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Core, Machine } from "../topology/machine.ts";
import type { Policy } from "./policy.ts";
import { countBySize, wholeSums } from "./wholecores.ts";

/** `NUMA node 0: 0-3, NUMA node 1: 8` */
export function whereFree(machine: Machine, free: CpuSet): string {
  const parts = machine.numaNodes
    .map((node) => ({ node, cpus: node.cpus.intersect(free) }))
    .filter(({ cpus }) => !cpus.isEmpty)
    .map(({ node, cpus }) => `NUMA node ${node.id}: ${cpus.toString()}`);
  const elsewhere = free.minus(CpuSet.union(machine.numaNodes.map((node) => node.cpus)));
  return [...parts, ...(elsewhere.isEmpty ? [] : [elsewhere.toString()])].join(", ");
}

/** The CPUs of the wanted type. */
export function ofType(machine: Machine, cpus: CpuSet, policy: Policy): CpuSet {
  if (policy.coreType === "any") return cpus;
  const wanted = policy.coreType;
  return CpuSet.from(
    machine.cpus.flatMap(({ id, coreType }) => {
      const efficient = coreType === "efficiency" || coreType === "low-power";
      return cpus.has(id) && efficient === (wanted === "efficiency") ? [id] : [];
    }),
  );
}

/** Why the policy cannot be met, which of its wishes is to blame, and what would fit. */
export function because(machine: Machine, free: CpuSet, wanted: number, policy: Policy): string {
  const usable = ofType(machine, free, policy);
  const at = (cpus: CpuSet): string => (cpus.isEmpty ? "" : ` (${whereFree(machine, cpus)})`);
  const are = (n: number): string => `${n} ${n === 1 ? "is" : "are"} free`;
  if (policy.coreType !== "any" && ofType(machine, machine.online, policy).isEmpty) {
    return `${wanted} CPUs on ${policy.coreType} cores are wanted; this machine has no ${policy.coreType} cores${free.isEmpty ? "" : `; other cores have ${free.size} free${at(free)}`}`;
  }
  const cpus = policy.coreType === "any" ? "CPUs" : `CPUs on ${policy.coreType} cores`;
  const other = free.minus(usable);
  const rest = other.isEmpty ? "" : `; ${other.size} more are free on other cores${at(other)}`;
  if (usable.size < wanted) return `${wanted} ${cpus} are wanted and ${are(usable.size)}${at(usable)}${rest}`;

  const whole = CpuSet.union(fullyIn(machine, usable).map((core) => core.cpus));
  const broken = usable.minus(whole);
  const split = broken.isEmpty
    ? ""
    : `; ${broken.size === 1 ? "1 more thread is free on a split core" : `${broken.size} more threads are free on split cores`}${at(broken)}`;
  if (policy.cores === "isolated") {
    const cores = fullyIn(machine, whole).length;
    if (cores < wanted)
      return `${wanted} ${cpus} on cores of their own are wanted; ${cores === 1 ? "1 core is free with all its threads" : `${cores} cores are free with all their threads`}${at(whole)}${split}${rest}`;
  }
  if (policy.cores === "whole") {
    if (whole.size < wanted)
      return `${wanted} ${cpus} on whole cores are wanted; free whole cores give ${whole.size}${at(whole)}${split}${rest}`;
    const sums = wholeSums(countBySize(fullyIn(machine, whole).map((core) => core.cpus.size)), whole.size);
    if (sums[wanted] !== 1) {
      const below = sums.lastIndexOf(1, wanted);
      const above = sums.indexOf(1, wanted);
      return `${wanted} ${cpus} on whole cores are wanted; whole cores add up to ${below} or ${above} here${at(whole)}`;
    }
  }
  const domains = machine.l3s.map((l3) => l3.cpus.intersect(policy.cores === "any" ? usable : whole));
  if (domains.length === 0)
    return `${wanted} ${cpus} in one L3 domain are wanted; the kernel tells of no L3 cache here`;
  const largest = domains.reduce((best, domain) => (domain.size > best.size ? domain : best), CpuSet.empty);
  const gives = policy.cores === "isolated" ? fullyIn(machine, largest).length : largest.size;
  return `${wanted} ${cpus} in one L3 domain are wanted; the fullest gives ${gives} (${largest.toString()}); ${usable.size} are free${at(usable)}`;
}

function fullyIn(machine: Machine, cpus: CpuSet): Core[] {
  return machine.cores.filter((core) => !core.cpus.isEmpty && core.cpus.isSubsetOf(cpus));
}
