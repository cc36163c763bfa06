import type { Container, ContainerUpdate, PodSandbox } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { isTooWide, nextPhase, type ContainerRecord } from "../masks/container.ts";
import type { MarkNames } from "../truth/marks.ts";
import type { NodeKnowledge } from "./node.ts";
import type { EnforcerParts } from "./parts.ts";
import { marksOf, newRecord, phaseOf, storedMask } from "./record.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

const SLICE_MS = 5;

/**
 * The role of a container that already exists. Never a refusal: a forged or unknown one is confined and reported.
 * Believed are the kubelet's CDI ids, and the mark of our own CreateContainer reply beside them.
 */
export function classify(
  parts: Pick<EnforcerParts, "node" | "say">,
  names: MarkNames,
  ownPodUid: string,
  pod: PodSandbox,
  container: Container,
  cdiVisible: boolean,
): ContainerRecord {
  const record = newRecord(pod, container);
  const reading = marksOf(container, names, cdiVisible);
  switch (reading.kind) {
    case "none":
      if (ownPodUid !== "" && record.ref.podUid === ownPodUid) record.role = "own";
      return record;
    case "forged":
    case "malformed":
      record.confined = `Confined to the shared pool: it carries ${reading.variable}, but ${reading.because}`;
      parts.say.problem(record.confined, record.ref);
      return record;
    case "claims":
      break;
  }
  record.uses = reading.uses;
  record.marked = (container.annotations[names.annotation] ?? "").split(",");
  assignRole(parts.node, record);
  return record;
}

/** The role of a container that shows claims; asked again whenever claims change, since truth may come after the container. */
export function assignRole(node: NodeKnowledge, record: ContainerRecord): void {
  if (record.uses.length === 0) return;
  const known = record.uses.every((use) => {
    const claim = node.claim(use.claimUid);
    const reserved = claim?.consumers.some((consumer) => consumer.uid === record.ref.podUid) === true;
    return claim !== undefined && (reserved || record.marked.includes(use.claimUid));
  });
  record.confined = "";
  if (known && node.claimMask(record) !== undefined) record.role = "claim";
  else if (record.uses.some((use) => record.marked.includes(use.claimUid))) record.role = "unknown-claim";
  else record.role = "shared";
  if (record.role !== "claim" && node.truth === "confirmed") {
    record.confined = "Confined to the shared pool: it names a claim that is not prepared for its pod on this node";
  }
}

/**
 * Merges what the runtime lists into what is known. The listing is evidence, never the truth: claims stay as they are, what the
 * kernel says is read, and one bad container never fails the whole.
 *
 * @returns at most 16 updates, under the runtime lever alone.
 */
export async function synchronize(
  parts: EnforcerParts,
  pods: readonly PodSandbox[],
  containers: readonly Container[],
  cdiVisible: boolean,
): Promise<ContainerUpdate[]> {
  const { node, mover, clock } = parts;
  const podsById = new Map(pods.map((pod) => [pod.id, pod]));
  const listed = new Set<string>();
  let slice = clock.now();
  for (const container of containers) {
    const pod = podsById.get(container.podSandboxId);
    if (pod === undefined || container.id === "") continue;
    listed.add(container.id);
    const before = node.containers.get(container.id);
    const record = parts.classify(pod, container, cdiVisible);
    if (before !== undefined) {
      record.stopping = before.stopping;
      record.grants = before.grants.filter((grant) => grant.by === "call");
    }
    record.phase = phaseOf(container);
    record.stored = storedMask(container);
    node.containers.set(container.id, record);
    mover.look(record);
    if (clock.now() - slice >= SLICE_MS) {
      await clock.yield();
      slice = clock.now();
    }
  }
  for (const [id, record] of node.containers) {
    if (!listed.has(id)) record.phase = nextPhase(record.phase, "unlisted");
  }
  node.synchronized = true;
  if (node.levers.force === "kernel") adoptPartitions(parts);
  mover.compute();
  repairAll(parts);
  mover.kick();
  parts.reaper.expect();
  parts.say.session(`The NRI session is synchronized: ${listed.size} containers`);
  parts.changed();
  return parts.updates.forReply("");
}

/** Whoever runs on CPUs of claims that are not its own has escaped while nobody watched: put back, counted, reported. */
function repairAll(parts: EnforcerParts): void {
  const { node, mover } = parts;
  const held = node.heldCpus();
  for (const record of node.containers.values()) {
    if (record.phase === "created" || record.phase === "stopped") continue;
    const was = record.effective;
    const escaped = was !== undefined && isTooWide(record) && (record.role === "claim" || was.overlaps(held));
    if (escaped) parts.say.escaped(record, was, "it was created or changed while the agent was away");
    if (record.role === "claim" && node.levers.force === "kernel" && node.truth !== "none") {
      const why = record.partition === "none" ? parts.claimStart.enforce(record) : "";
      if (why !== "")
        parts.say.problem(`Cannot give CPUs ${record.wanted?.toString() ?? ""} to it alone: ${why}`, record.ref);
    } else if (mover.settle(record) === "wrong" && record.problem !== "") parts.say.problem(record.problem, record.ref);
    if (escaped && !isTooWide(record)) parts.say.repaired(record);
  }
}

function adoptPartitions(parts: EnforcerParts): void {
  const { node, partitions, cgroup } = parts;
  const claimed = new Map<string, ContainerRecord[]>();
  for (const record of node.containers.values()) {
    if (record.role !== "claim" || record.cgroup === undefined || !cgroup.populated(record.cgroup)) continue;
    const pod = record.cgroup.slice(0, record.cgroup.lastIndexOf("/"));
    for (const path of [record.cgroup, pod]) claimed.set(path, [...(claimed.get(path) ?? []), record]);
  }
  partitions.adopt(claimed);
  for (const record of node.containers.values()) {
    if (record.role !== "claim" || record.cgroup === undefined) continue;
    const pod = record.cgroup.slice(0, record.cgroup.lastIndexOf("/"));
    const own = livesOn(partitions.living(record.cgroup)?.cpus, node.claimMask(record));
    if (own) record.partition = "own";
    else if (partitions.living(pod) !== undefined) record.partition = "pod";
    if (record.partition !== "none")
      record.partitionText = partitions.textOf(record.partition === "own" ? record.cgroup : pod);
  }
}

function livesOn(partition: CpuSet | undefined, claim: CpuSet | undefined): boolean {
  return partition !== undefined && claim !== undefined && partition.equals(claim);
}
