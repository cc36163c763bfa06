import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Allocation } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { AllocationState } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { cpusOf, type Entry } from "../ledger/ledger.ts";
import { cpuOf, type Machine } from "../topology/machine.ts";
import { marksFor } from "./marks.ts";
import type { ClaimView } from "./picture.ts";

const PHASES: Readonly<Record<number, string>> = {
  [AllocationState.PREPARING]: "preparing",
  [AllocationState.PREPARED]: "prepared",
  [AllocationState.DRAINING]: "draining",
};

/** A claim as driver and agent know it; one of them may not. */
export interface Known {
  readonly uid: string;
  readonly entry: Entry | undefined;
  readonly held: Allocation | undefined;
  readonly cpus: CpuSet;
  readonly idle: CpuSet;
}

/** Claims of the driver's ledger, and those that the agent alone knows. */
export function knownClaims(entries: readonly Entry[], held: readonly Allocation[]): Known[] {
  const byUid = new Map(held.map((one) => [one.claim?.uid ?? "", one]));
  const own = entries.map((entry) => {
    const { uid } = entry.claim;
    return { uid, entry, held: byUid.get(uid), cpus: cpusOf(entry), idle: entry.idle };
  });
  const mine = new Set(own.map(({ uid }) => uid));
  const theirs = held
    .filter((one) => !mine.has(one.claim?.uid ?? ""))
    .map((one) => ({
      uid: one.claim?.uid ?? "",
      entry: undefined,
      held: one,
      cpus: heldCpus(one),
      idle: CpuSet.parse(one.idle),
    }));
  return [...own, ...theirs].sort((a, b) => a.cpus.first - b.cpus.first);
}

export function heldCpus(one: Allocation): CpuSet {
  return CpuSet.union([...one.shares.map((share) => CpuSet.parse(share.cpus)), CpuSet.parse(one.idle)]);
}

export function claimViews(known: readonly Known[], machine: Machine): ClaimView[] {
  const marks = marksFor(known.map((one) => ({ uid: one.uid, called: calledOf(one) })));
  return known.map((one) => {
    const { uid, entry, held, cpus, idle } = one;
    const { mark = "*", hue = 0 } = marks.get(uid) ?? {};
    const shares = entry?.shares ?? held?.shares ?? [];
    const places = [...cpus].flatMap((id) => cpuOf(machine, id) ?? []);
    const l3s = places.flatMap(({ l3 }) => machine.l3s[l3]?.id ?? []);
    const name = entry?.claim ?? held?.claim;
    return {
      uid,
      namespace: name?.namespace ?? "",
      name: name?.name ?? "",
      mark,
      hue,
      phase: entry?.phase ?? PHASES[held?.state ?? 0] ?? "unknown",
      cpus: cpus.toString(),
      count: cpus.size,
      idle: idle.toString(),
      isolated: entry?.isolated ?? held?.isolated ?? false,
      shares: shares.map(({ request, device, cpus: own }) => ({ request, device, cpus: String(own) })),
      pods: podsOf(one),
      numaNodes: unique(places.map(({ numa }) => numa)),
      l3s: unique(l3s),
      operation: entry?.operationId ?? held?.operationId ?? "",
      ...(entry?.chosen === undefined ? {} : { chosen: { ...entry.chosen, free: entry.chosen.free.toString() } }),
    };
  });
}

function podsOf({ entry, held }: Known): string[] {
  return (entry?.consumers ?? held?.consumers ?? [])
    .filter(({ resource }) => resource === "pods")
    .map(({ name }) => name);
}

function calledOf(one: Known): string {
  return podsOf(one)[0] ?? one.entry?.claim.name ?? one.held?.claim?.name ?? "";
}

function unique(ids: readonly number[]): number[] {
  return [...new Set(ids)].sort((a, b) => a - b);
}
