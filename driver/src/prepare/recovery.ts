import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { Backoff, pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { toAllocation, type Entry, type Ledger } from "../ledger/ledger.ts";
import type { AgentLink } from "./agentlink.ts";
import type { CdiPort, CheckpointPort, ClaimReader, PrepareLog } from "./ports.ts";
import type { Releaser } from "./releaser.ts";

/** The API server is asked for each claim, one after the other, some time after the start: never listed, never in a burst. */
const FIRST_LOOK_MS = 20_000;
const LOOK_EVERY_MS = 600_000;
const CDI_EVERY_MS = 5000;

export interface RecoveryParts {
  readonly ledger: Ledger;
  readonly checkpoint: CheckpointPort;
  readonly cdi: CdiPort;
  readonly link: AgentLink;
  readonly releaser: Releaser;
  readonly reader: ClaimReader;
  readonly log: PrepareLog;
  random(): number;
}

/** Adds claims that files or the agent remember, where the checkpoint was lost. What contradicts is said and left out. */
export function adopt(ledger: Ledger, allocations: readonly AllocationRecord[], log: PrepareLog, from: string): number {
  let adopted = 0;
  for (const allocation of allocations) {
    if (ledger.get(allocation.claim.uid) !== undefined) continue;
    const phase = allocation.state === "draining" ? "draining" : "prepared";
    try {
      ledger.put({ ...allocation, phase, results: [] });
      adopted += 1;
    } catch (cause) {
      log.error(`a claim remembered by ${from} contradicts another; it is left out`, {
        claim: `${allocation.claim.namespace}/${allocation.claim.name}`,
        claimUID: allocation.claim.uid,
        cause: (cause as Error).message,
      });
    }
  }
  return adopted;
}

/** Files that vanish are written again: the kubelet does not call Prepare for a prepared claim, and its next container would need it. */
export async function keepCdiFiles(parts: RecoveryParts, signal: AbortSignal): Promise<void> {
  let said = "";
  while (!signal.aborted) {
    try {
      const there = new Set(await parts.cdi.list());
      for (const entry of parts.ledger.entries()) {
        if (entry.phase !== "prepared" || there.has(entry.claim.uid)) continue;
        await parts.cdi.write(toAllocation(entry));
        parts.log.warn("a claim's CDI file had vanished and was written again", name(entry));
      }
      said = "";
    } catch (cause) {
      const why = (cause as Error).message;
      if (why !== said) parts.log.error("the CDI directory cannot be kept true", { cause: why });
      said = why;
    }
    await pause(CDI_EVERY_MS, signal);
  }
}

/** The kubelet does not ask again for a claim whose Prepare it has seen succeed: what was on its way is brought to its end here. */
export async function finishPreparing(parts: RecoveryParts, signal: AbortSignal): Promise<void> {
  const there = new Set(await parts.cdi.list());
  const backoff = new Backoff(500, 5000);
  let waiting = parts.ledger.entries().filter((entry) => entry.phase === "preparing" && there.has(entry.claim.uid));
  while (waiting.length > 0 && !signal.aborted) {
    for (const { claim } of waiting) {
      try {
        const progress = await parts.link.progress(claim.uid, 0, signal);
        const entry = parts.ledger.get(claim.uid);
        if (progress.progress === Progress.ENFORCED && entry?.phase === "preparing")
          parts.ledger.put({ ...entry, phase: "prepared" });
      } catch {
        // The link says by itself why the agent is away.
      }
    }
    waiting = waiting.filter(({ claim }) => parts.ledger.get(claim.uid)?.phase === "preparing");
    if (waiting.length > 0) await pause(backoff.nextMs(), signal);
  }
}

/** Claims whose object is gone are released: an Unprepare may have been lost with the kubelet's own state. */
export async function collectGone(parts: RecoveryParts, signal: AbortSignal): Promise<void> {
  await pause(FIRST_LOOK_MS * (1 + parts.random()), signal);
  while (!signal.aborted) {
    for (const entry of parts.ledger.entries()) {
      if (signal.aborted) return;
      if (entry.phase === "draining") continue;
      try {
        const claim = await parts.reader.get(
          entry.claim.namespace,
          entry.claim.name,
          AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
        );
        if (claim !== undefined && claim.metadata.uid === entry.claim.uid) continue;
        parts.log.warn("a claim is gone from the API server without an Unprepare; it is released", name(entry));
        await parts.releaser.release(entry.claim.uid, signal);
      } catch (cause) {
        parts.log.info("cannot ask for a claim now", { ...name(entry), cause: (cause as Error).message });
        break;
      }
      await pause(200 + 300 * parts.random(), signal);
    }
    await pause(LOOK_EVERY_MS * (0.75 + parts.random() / 2), signal);
  }
}

/** A pod that the agent does not know of shows up with a claim: the reservation is read again. */
export async function refreshConsumers(parts: RecoveryParts, uid: string, signal: AbortSignal): Promise<void> {
  const entry = parts.ledger.get(uid);
  if (entry === undefined || entry.phase === "draining") return;
  const claim = await parts.reader.get(
    entry.claim.namespace,
    entry.claim.name,
    AbortSignal.any([signal, AbortSignal.timeout(10_000)]),
  );
  if (claim === undefined || claim.metadata.uid !== uid) return;
  const consumers = (claim.status?.reservedFor ?? []).map((one) => ({
    resource: one.resource,
    uid: one.uid,
    name: one.name,
  }));
  const now = parts.ledger.get(uid);
  if (now === undefined || now.phase === "draining") return;
  parts.ledger.put({ ...now, consumers });
  await parts.checkpoint.save();
  await parts.link.push(signal);
  parts.log.info("a claim's reservation was read again", { ...name(now), consumers: consumers.map((one) => one.name) });
}

function name(entry: Entry): Record<string, string> {
  return { claim: `${entry.claim.namespace}/${entry.claim.name}`, claimUID: entry.claim.uid };
}
