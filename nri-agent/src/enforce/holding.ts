import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ContainerRecord } from "../masks/container.ts";
import type { EnforcerParts } from "./parts.ts";

/**
 * Takes up the partitions that an earlier life of this agent made: the kernel is asked of every container and pod, whatever is known of
 * claims, because a list that is cleaned while a partition needs it opens that partition to everybody. So lists are cleaned only where
 * claims are known at all.
 */
export function adoptPartitions(parts: EnforcerParts): void {
  const { node, partitions, cgroup } = parts;
  const users = new Map<string, ContainerRecord[]>();
  for (const record of node.containers.values()) {
    if (record.cgroup === undefined || !cgroup.populated(record.cgroup)) continue;
    for (const path of [record.cgroup, podOf(record.cgroup)]) users.set(path, [...(users.get(path) ?? []), record]);
  }
  partitions.adopt(users, node.truth !== "none");
  for (const record of node.containers.values()) recognise(parts, record);
}

/**
 * Every running container of a claim has its CPUs alone: by the partition that is there already, else by masks, until a partition takes
 * over. A partition of nobody's claim is given up once a driver has said which claims there are.
 */
export function holdClaims(parts: EnforcerParts): void {
  const { node, partitions, claimStart, say } = parts;
  if (node.levers.force !== "kernel" || node.truth === "none") return;
  for (const record of node.containers.values()) {
    if (!isLoose(parts, record)) continue;
    recognise(parts, record);
    if (record.partition !== "none") continue;
    const why = claimStart.hold(record);
    if (why !== "") say.problem(notAlone(record, why), record.ref, CODES.maskFailed);
  }
  if (node.truth === "confirmed") {
    partitions.releaseWhere((ids) => ![...ids].some((id) => node.containers.get(id)?.role === "claim"));
  }
}

export function notAlone(record: ContainerRecord, why: string): string {
  return `Cannot give CPUs ${record.wanted?.toString() ?? ""} to it alone: ${why}`;
}

function isLoose({ node }: EnforcerParts, record: ContainerRecord): boolean {
  return (
    record.role === "claim" &&
    record.phase === "running" &&
    record.partition === "none" &&
    record.cgroup !== undefined &&
    !record.uses.some((use) => node.byMasks.has(use.claimUid))
  );
}

function recognise({ node, partitions }: EnforcerParts, record: ContainerRecord): void {
  if (record.role !== "claim" || record.cgroup === undefined) return;
  const claim = node.claimMask(record);
  const pod = podOf(record.cgroup);
  if (equal(partitions.living(record.cgroup)?.cpus, claim)) record.partition = "own";
  else if (partitions.living(pod) !== undefined) record.partition = "pod";
  else return;
  record.partitionText = partitions.textOf(record.partition === "own" ? record.cgroup : pod);
}

function equal(a: CpuSet | undefined, b: CpuSet | undefined): boolean {
  return a !== undefined && b !== undefined && a.equals(b);
}

function podOf(cgroup: string): string {
  return cgroup.slice(0, cgroup.lastIndexOf("/"));
}
