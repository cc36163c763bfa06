import type { Container, ContainerUpdate, PodSandbox } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { nextPhase, type ContainerRecord } from "../masks/container.ts";
import type { MarkNames } from "../truth/marks.ts";
import { adoptPartitions, checkPartitions, holdClaims } from "./holding.ts";
import { sayRepaired } from "./verifier.ts";
import type { NodeKnowledge } from "./node.ts";
import type { EnforcerParts } from "./parts.ts";
import { marksOf, newRecord, phaseOf, storedMask, storedType } from "./record.ts";

const SLICE_MS = 5;
/** An update that was in flight when the session before was lost has been applied by then, or never will be. */
const LOST_CALLS_SETTLE_MS = 2000;

/**
 * The role of a container that already exists. Never a refusal: a forged or unknown one is confined and reported.
 * Believed are the kubelet's CDI ids, and the mark of our own CreateContainer reply beside them.
 */
export function classify(
  parts: Pick<EnforcerParts, "node" | "say" | "clock">,
  names: MarkNames,
  ownPodUid: string,
  pod: PodSandbox,
  container: Container,
  cdiVisible: boolean,
): ContainerRecord {
  const record = newRecord(pod, container, parts.clock.now());
  const reading = marksOf(container, names, cdiVisible);
  switch (reading.kind) {
    case "none":
      if (ownPodUid !== "" && record.ref.podUid === ownPodUid) record.role = "own";
      return record;
    case "forged":
    case "malformed":
      record.confined = `Confined to the shared pool: it carries ${reading.variable}, but ${reading.because}`;
      parts.say.problem(record.confined, record.ref, CODES.confined);
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
  if (known && node.claimMask(record) !== undefined) {
    record.role = "claim";
    // It stays so while it lives, also where its pod is gone from the claim's reservation.
    record.marked = record.uses.map((use) => use.claimUid);
  } else if (record.uses.some((use) => record.marked.includes(use.claimUid))) record.role = "unknown-claim";
  else record.role = "shared";
  if (record.role !== "claim" && node.truth === "confirmed") {
    record.confined = "Confined to the shared pool: it names a claim that is not prepared for its pod on this node";
  }
}

/**
 * Merges what the runtime lists into what is known. The listing is evidence, never the truth: claims stay as they are, what the
 * kernel says is read, and one bad container never fails the whole. Where the session ends meanwhile, nothing more is concluded.
 *
 * @returns at most 16 updates, under the runtime lever alone.
 */
export async function synchronize(
  parts: EnforcerParts,
  pods: readonly PodSandbox[],
  containers: Iterable<Container>,
  cdiVisible: boolean,
): Promise<ContainerUpdate[]> {
  const { node, mover, clock } = parts;
  const session = node.session?.id;
  const isOver = (): boolean => node.session?.id !== session;
  const lost: ContainerRecord[] = [];
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
      record.outside = before.outside;
      record.byRuntimeOnly = before.byRuntimeOnly;
      record.grants = [...before.grants];
      record.createdAt = before.createdAt;
      record.marked = [...record.marked, ...before.marked];
      assignRole(node, record);
      if (record.grants.length > 0) lost.push(record);
    }
    record.phase = phaseOf(container);
    record.stored = storedMask(container);
    record.storedType = storedType(container);
    node.containers.set(container.id, record);
    mover.look(record);
    if (clock.now() - slice >= SLICE_MS) {
      await clock.yield();
      if (isOver()) return [];
      slice = clock.now();
    }
  }
  if (lost.length > 0) {
    const before = lost.map((record) => ({ record, grants: new Set(record.grants) }));
    clock.later(LOST_CALLS_SETTLE_MS, () => {
      for (const { record, grants } of before) {
        record.grants = record.grants.filter((grant) => !grants.has(grant));
        mover.doubt(record);
      }
      parts.changed();
    });
  }
  for (const [id, record] of node.containers) {
    if (!listed.has(id)) record.phase = nextPhase(record.phase, "unlisted");
  }
  node.synchronized = true;
  node.online = parts.machine.online() ?? node.online;
  // Also where this life does not use them: an earlier one may have.
  adoptPartitions(parts);
  mover.compute();
  // Before anybody's mask is touched: who runs on a claim without a partition is held by masks, and they count in every one.
  if (node.levers.force === "kernel") checkPartitions(parts);
  holdClaims(parts);
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
    const escaped = was !== undefined && node.isTooWide(record) && (record.role === "claim" || was.overlaps(held));
    if (escaped) {
      record.outside = true;
      parts.say.escaped(record, was, "it was created or changed while the agent was away");
    }
    if (mover.settle(record, record.role === "claim", true) === "wrong" && record.problem !== "")
      parts.say.problem(record.problem, record.ref, CODES.maskFailed);
    sayRepaired(parts, record);
  }
}
