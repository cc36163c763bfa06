import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { Backoff, pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { within } from "@dracpu/shared-proto/lifecycle/within.ts";
import type { ResourceClaim } from "../claims/resourceclaim.ts";
import type { Entry, Ledger } from "../ledger/ledger.ts";
import { nextPhase } from "../ledger/phase.ts";
import type { AgentLink } from "./agentlink.ts";
import type { CdiPort, CheckpointPort, ClaimReader, PrepareLog } from "./ports.ts";
import type { PerKey } from "./queue.ts";
import type { Releaser } from "./releaser.ts";

/** The API server is asked for each claim, one after the other, some time after the start: never listed, never in a burst. */
const LOOKS = { firstMs: 20_000, againMs: 30_000, everyMs: 600_000 };
const READ_MS = 10_000;

export interface RecoveryParts {
  readonly ledger: Ledger;
  readonly checkpoint: CheckpointPort;
  readonly cdi: CdiPort;
  readonly link: AgentLink;
  readonly releaser: Releaser;
  readonly perClaim: PerKey;
  readonly reader: ClaimReader;
  readonly log: PrepareLog;
  /** Name of this driver in allocations. */
  readonly driver: string;
  random(): number;
}

/** The kubelet does not ask again for a claim whose Prepare it has seen succeed: what was on its way is brought to its end here. */
export async function finishPreparing(parts: RecoveryParts, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff(500, 5000);
  let waiting = parts.ledger.entries().filter((entry) => entry.phase === "preparing");
  while (waiting.length > 0 && !signal.aborted) {
    for (const { claim } of waiting) {
      try {
        const progress = await parts.link.progress(claim.uid, 0, signal);
        const hasFile = (await parts.cdi.list()).includes(claim.uid);
        const entry = parts.ledger.get(claim.uid);
        if (progress.progress === Progress.ENFORCED && hasFile && entry?.phase === "preparing")
          parts.ledger.put({ ...entry, phase: nextPhase(entry.phase, "fulfilled") });
      } catch {
        // The link says by itself why the agent is away, and who keeps the files says what is wrong with them.
      }
    }
    waiting = waiting.filter(({ claim }) => parts.ledger.get(claim.uid)?.phase === "preparing");
    if (waiting.length > 0) await pause(backoff.nextMs(), signal);
  }
}

/**
 * Claims whose object is gone, or is allocated here no more, are released: an Unprepare may have been lost with the kubelet's own state.
 * Nothing is released on one answer: the claim has to be gone at a second look some time later.
 *
 * @param onSeen told of those that are there.
 */
export async function collectGone(
  parts: RecoveryParts,
  onSeen: (claim: ResourceClaim) => void,
  signal: AbortSignal,
  when = LOOKS,
): Promise<void> {
  await pause(when.firstMs * (1 + parts.random()), signal);
  while (!signal.aborted) {
    const gone: Entry[] = [];
    for (const entry of parts.ledger.entries()) if (await isGone(parts, entry, signal, onSeen)) gone.push(entry);
    if (gone.length > 0) await pause(when.againMs, signal);
    for (const { claim } of gone) {
      if (signal.aborted) return;
      await parts.perClaim
        .run(claim.uid, async () => {
          const entry = parts.ledger.get(claim.uid);
          if (entry === undefined || !(await isGone(parts, entry, signal))) return;
          parts.log.warn(
            "a claim is gone from the API server or from this node without an Unprepare; it is released",
            name(entry),
          );
          await parts.releaser.release(claim.uid, signal);
        })
        .catch((cause: unknown) => {
          parts.log.warn("a claim that is gone cannot be released yet", {
            claimUID: claim.uid,
            cause: (cause as Error).message,
          });
        });
    }
    await pause(when.everyMs * (0.75 + parts.random() / 2), signal);
  }
}

async function isGone(
  parts: RecoveryParts,
  entry: Entry,
  signal: AbortSignal,
  onSeen?: (claim: ResourceClaim) => void,
): Promise<boolean> {
  const { claim, phase } = entry;
  // One without a name was left by another driver, and is looked for by its uid.
  if (signal.aborted || phase === "draining" || claim.name === "") return false;
  try {
    const found = await within(READ_MS, [signal], (bounded) => parts.reader.get(claim.namespace, claim.name, bounded));
    if (found?.metadata.uid !== claim.uid || !isAllocated(found, entry, parts.driver)) return true;
    onSeen?.(found);
    return false;
  } catch (cause) {
    parts.log.info("cannot ask for a claim now", { claimUID: claim.uid, cause: (cause as Error).message });
    return false;
  } finally {
    await pause(200 + 300 * parts.random(), signal);
  }
}

/** By the pools that the claim was prepared from; of one that was adopted without them nothing is concluded. */
function isAllocated(claim: ResourceClaim, entry: Entry, own: string): boolean {
  const pools = new Set(entry.shares.map((share) => share.pool).filter((pool) => pool !== ""));
  const results = claim.status?.allocation?.devices?.results ?? [];
  return pools.size === 0 || results.some(({ driver, pool }) => driver === own && pools.has(pool));
}

/** A pod that the agent does not know of shows up with a claim: the reservation is read again. */
export function refreshConsumers(parts: RecoveryParts, uid: string, signal: AbortSignal): Promise<void> {
  return parts.perClaim.run(uid, async () => {
    const entry = parts.ledger.get(uid);
    if (entry === undefined || entry.phase === "draining" || entry.claim.name === "") return;
    const at = entry.claim;
    const claim = await within(READ_MS, [signal], (bounded) => parts.reader.get(at.namespace, at.name, bounded));
    if (claim === undefined || claim.metadata.uid !== uid) return;
    const consumers = (claim.status?.reservedFor ?? []).map(({ resource, uid: consumer, name: called }) => ({
      resource,
      uid: consumer,
      name: called,
    }));
    const now = parts.ledger.get(uid);
    if (now === undefined || now.phase === "draining") return;
    parts.ledger.put({ ...now, consumers });
    await parts.checkpoint.save();
    await parts.link.push(signal);
    parts.log.info("a claim's reservation was read again", {
      ...name(now),
      consumers: consumers.map((one) => one.name),
    });
  });
}

function name(entry: Entry): Record<string, string> {
  return { claim: `${entry.claim.namespace}/${entry.claim.name}`, claimUID: entry.claim.uid };
}
