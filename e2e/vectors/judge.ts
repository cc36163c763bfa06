import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Machine } from "../../driver/src/topology/machine.ts";
import type { Case } from "./cases.ts";

/** How good a set of CPUs is, most important first; less is better. */
export function quality(machine: Machine, cpus: CpuSet, one: Pick<Case, "policy" | "options">): number[] {
  const taken = machine.cpus.filter((cpu) => cpus.has(cpu.id));
  const count = (unit: (cpu: (typeof taken)[number]) => number): Map<number, number> => {
    const counts = new Map<number, number>();
    for (const cpu of taken) counts.set(unit(cpu), (counts.get(unit(cpu)) ?? 0) + 1);
    return counts;
  };
  const nodes = count((cpu) => cpu.numa);
  const sockets = count((cpu) => cpu.socket).size;
  const cores = count((cpu) => cpu.core);
  const split = [...cores].filter(([core, n]) => n < (machine.cores[core]?.cpus.size ?? 0)).length;
  switch (one.policy) {
    case "distributed":
      return [nodes.size, cpus.isEmpty ? 0 : Math.max(...nodes.values()) - Math.min(...nodes.values()), split];
    case "spread":
      return [nodes.size, sockets, cpus.size - cores.size];
    case "packed": {
      const l3s = count((cpu) => cpu.l3);
      l3s.delete(-1);
      return one.options.l3 === true ? [nodes.size, sockets, l3s.size, split] : [nodes.size, sockets, split];
    }
  }
}

export function compare(a: readonly number[], b: readonly number[]): number {
  for (const [index, value] of a.entries()) if (value !== b[index]) return value - (b[index] ?? 0);
  return 0;
}

export type Verdict = "equal" | "better" | "as good" | "worse" | "invalid";

/** Our answer against the recorded one. A recorded answer that is itself illegal, or a refusal without need, cannot be better. */
export function judge(machine: Machine, one: Case, ours: CpuSet | undefined): Verdict {
  const available = CpuSet.parse(one.available);
  if (ours !== undefined && (ours.size !== one.take || !ours.isSubsetOf(available))) return "invalid";
  if (ours === undefined) return typeof one.kubelet === "string" && !illegal(one) ? "worse" : refusal(one, available);
  if (typeof one.kubelet !== "string" || illegal(one)) return "better";
  const recorded = CpuSet.parse(one.kubelet);
  if (ours.equals(recorded)) return "equal";
  const order = compare(quality(machine, ours, one), quality(machine, recorded, one));
  return order < 0 ? "better" : order > 0 ? "worse" : "as good";
}

function refusal(one: Case, available: CpuSet): Verdict {
  if (typeof one.kubelet !== "string") return "equal";
  return available.size < one.take ? "better" : "worse";
}

function illegal(one: Case): boolean {
  return (one.wrong ?? []).some((entry) => entry.startsWith("kubelet:"));
}
