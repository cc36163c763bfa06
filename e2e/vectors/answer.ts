import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { allocate } from "../../driver/src/allocator/allocate.ts";
import type { Machine } from "../../driver/src/topology/machine.ts";
import { type Case, policyOf } from "./cases.ts";

export type Answer = { id: string; answer: string } | { id: string; refused: string } | { id: string; skipped: string };

/**
 * full-pcpus-only asks about the number alone: a multiple of the threads of a core (the average, rounded down). It is no promise of whole
 * cores, so our best answer is given then, with as few split cores as can be.
 */
function misaligned(machine: Machine, one: Case): string | undefined {
  const threads = Math.max(1, Math.floor(machine.cpus.length / machine.cores.length));
  return one.options.fullPCPUs === true && one.take % threads !== 0
    ? `${one.take} CPUs are not whole cores of ${threads} threads`
    : undefined;
}

export function answer(machine: Machine, one: Case): Answer {
  if (one.options.affinity !== undefined)
    return { id: one.id, skipped: "option affinity: the claim's device says where" };
  if (one.options.alignBySocket !== undefined)
    return { id: one.id, skipped: "option alignBySocket: the claim's device says where" };
  const refused = misaligned(machine, one);
  if (refused !== undefined) return { id: one.id, refused };
  const chosen = allocate(machine, CpuSet.parse(one.available), one.take, policyOf(one));
  return chosen.kind === "allocated"
    ? { id: one.id, answer: chosen.cpus.toString() }
    : { id: one.id, refused: chosen.because };
}
