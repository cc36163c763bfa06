import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { isWatched, type ContainerRecord } from "../masks/container.ts";
import { parentOf } from "../partitions/plan.ts";
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
    if (record.cgroup === undefined || (node.levers.force !== "kernel" && record.uses.length === 0)) continue;
    if (!cgroup.populated(record.cgroup)) continue;
    for (const path of [record.cgroup, parentOf(record.cgroup)]) users.set(path, [...(users.get(path) ?? []), record]);
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
  if (node.truth === "none") return;
  if (node.levers.force !== "kernel") {
    leavePartitions(parts);
    return;
  }
  for (const record of node.containers.values()) {
    if (record.role === "claim" || record.phase !== "running" || record.cgroup === undefined) continue;
    if (partitions.living(parentOf(record.cgroup)) === undefined || record.wanted === undefined) continue;
    const why = claimStart.besideShared(record);
    if (why !== "") say.problem(why, record.ref, CODES.maskFailed);
  }
  const loose = [...node.containers.values()].filter((record) => isLoose(parts, record));
  for (const record of loose) recognise(parts, record);
  checkPartitions(parts, (record) => loose.includes(record));
  const bare = loose.filter(({ partition }) => partition === "none");
  // All others are moved once, off all of these claims, and not once for each.
  claimStart.keepOff(bare.flatMap(({ uses }) => uses.map((use) => use.claimUid)));
  const failed = new Set<string>();
  for (const record of bare) {
    // A pod's partition holds all its containers.
    if (record.partition !== "none" || record.uses.some((use) => failed.has(use.claimUid))) continue;
    const why = claimStart.hold(record);
    if (record.partition === "none") for (const use of record.uses) failed.add(use.claimUid);
    if (why !== "") say.problem(notAlone(record, why), record.ref, CODES.maskFailed);
  }
  for (const record of node.containers.values()) {
    if (record.role !== "claim" || record.phase !== "created" || record.partition !== "none") continue;
    // Created in an earlier life, it may be started with or without us. What stands against it is said at its start.
    claimStart.beforeCgroup(record);
  }
  if (node.truth === "confirmed") {
    partitions.releaseWhere((ids) => ![...ids].some((id) => node.containers.get(id)?.role === "claim"));
  }
}

/** An earlier life used the kernel lever, and this one does not, or nobody is to be kept off any more: masks take over, others' first. */
function leavePartitions({ node, partitions, mover, updates }: EnforcerParts): void {
  if (partitions.isEmpty) return;
  for (const record of node.containers.values()) if (record.role !== "claim") mover.settle(record, false);
  partitions.releaseWhere(() => true);
  for (const record of node.containers.values()) {
    Object.assign(record, { partition: "none", partitionText: "" });
    // The runtime would make a partition of it again with the next update, whoever is there then.
    if (record.phase === "running" && record.storedType !== "") updates.queue(record);
  }
}

/**
 * What the kernel has invalidated is told, and repaired or replaced by masks.
 * @param which of them, by one of the containers and the partition's cgroup.
 */
export function checkPartitions(
  parts: EnforcerParts,
  which: (container: ContainerRecord, path: string) => boolean = () => true,
): void {
  const { node, partitions, claimStart, say } = parts;
  for (const container of [...node.containers.values()]) {
    if (container.partition === "none" || container.cgroup === undefined || !isWatched(container)) continue;
    const path = container.partition === "own" ? container.cgroup : parentOf(container.cgroup);
    if (!which(container, path)) continue;
    const problem = partitions.problemOf(path);
    if (problem === undefined) continue;
    container.partitionText = partitions.textOf(path);
    if (container.partitionText === "") continue;
    // One that runs on wrong CPUs has been told already, by its mask.
    const isNews = !node.isTooWide(container);
    if (isNews) say.escaped(container, node.heldCpus(), `the kernel no longer keeps others off its CPUs (${problem})`);
    container.partition = "none";
    const why = claimStart.hold(container, path);
    if (why !== "") say.problem(notAlone(container, why), container.ref, CODES.maskFailed);
    else if (isNews) say.repaired(container);
    parts.changed();
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
  const claim = node.partitionMask(record);
  const pod = parentOf(record.cgroup);
  if (equal(partitions.living(record.cgroup)?.cpus, claim)) record.partition = "own";
  else if (partitions.living(pod) !== undefined) record.partition = "pod";
  else return;
  record.partitionText = partitions.textOf(record.partition === "own" ? record.cgroup : pod);
}

function equal(a: CpuSet | undefined, b: CpuSet | undefined): boolean {
  return a !== undefined && b !== undefined && a.equals(b);
}
