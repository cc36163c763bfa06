import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { readResults } from "../claims/decide.ts";
import { cpusOf, toAllocation, type Entry, type Ledger } from "../ledger/ledger.ts";
import { nextPhase } from "../ledger/phase.ts";
import type { CdiMemory, PrepareLog } from "./ports.ts";
import type { RecoveryParts } from "./recovery.ts";

const ASK_AGAIN_MS = 30_000;

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

/**
 * Holds the CPUs of claims whose files say no more than uid and CPUs (the reference driver's): nobody gets them, whoever they belong to. One
 * share without a request is the claim as a whole, whose CDI device has no request either.
 */
export function holdBare(ledger: Ledger, bare: CdiMemory["bare"], log: PrepareLog): void {
  for (const { uid, cpus: named } of bare) {
    if (ledger.get(uid) !== undefined) continue;
    const cpus = named.minus(ledger.held());
    const fields = { claimUID: uid, cpus: named.toString() };
    if (!cpus.equals(named)) log.error("a CDI file of another driver names CPUs of a claim that is known", fields);
    if (cpus.isEmpty) continue;
    ledger.put({
      claim: { uid, namespace: "", name: "" },
      phase: nextPhase(undefined, "adopt"),
      consumers: [],
      shares: [{ request: "", pool: "", device: "", cpus }],
      idle: CpuSet.empty,
      isolated: false,
      results: [],
      operationId: "",
    });
    log.warn("took over a claim from a CDI file of another driver", fields);
  }
}

/** The agent's containers run on other CPUs than the ledger says: they are not moved, the ledger follows, and with it what is on disk. */
export function adoptHeld(parts: RecoveryParts, held: AllocationRecord): void {
  const { ledger, log } = parts;
  const { uid } = held.claim;
  const entry = ledger.get(uid);
  if (entry === undefined || shown(entry) === shown(held)) return;
  const { shares, idle } = held;
  const fields = { claimUID: held.claim.uid, had: cpusOf(entry).toString(), has: cpusOf(held).toString() };
  try {
    ledger.put({ ...entry, shares, idle, results: [] });
    log.warn("the NRI agent knows a claim with containers on other CPUs; it keeps those", fields);
  } catch (cause) {
    log.error("the NRI agent knows a claim on CPUs that are another's here", {
      ...fields,
      cause: (cause as Error).message,
    });
    return;
  }
  parts.perClaim
    .run(uid, async () => {
      await parts.checkpoint.save();
      const now = ledger.get(uid);
      if (now !== undefined && now.phase !== "draining" && now.claim.name !== "")
        await parts.cdi.write(toAllocation(now));
    })
    .catch((cause: unknown) =>
      log.error("what a claim keeps cannot be written", { ...fields, cause: (cause as Error).message }),
    );
}

function shown({ shares, idle }: Pick<Entry, "shares" | "idle">): string {
  return [...shares.map(({ request, cpus }) => `${request}=${cpus.toString()}`), idle.toString()].join(" ");
}

/**
 * Finds out what the claims without a name are called: until then their CPUs are held, and their pods' containers cannot be restarted. The
 * only time that claims are listed; it ends with the last of them. Those that are on no list twice are released.
 */
export async function nameBare(parts: RecoveryParts, signal: AbortSignal, everyMs = ASK_AGAIN_MS): Promise<void> {
  let said = "";
  let missing = new Set<string>();
  for (;;) {
    const uids = new Set(
      parts.ledger
        .entries()
        .flatMap(({ claim, phase }) => (claim.name === "" && phase !== "draining" ? claim.uid : [])),
    );
    if (uids.size === 0 || signal.aborted) return;
    try {
      const found = await parts.reader.find(uids, signal);
      const faults: Error[] = [];
      for (const claim of found) {
        const naming = parts.perClaim.run(claim.metadata.uid, async () => {
          const entry = parts.ledger.get(claim.metadata.uid);
          const reading = readResults(claim, parts.driver);
          if (entry?.claim.name !== "" || entry.phase === "draining" || reading.kind === "refused") return;
          const { consumers, results } = reading;
          const total = results.reduce((sum, { count }) => sum + count, 0);
          const { podClaimName } = reading;
          const named = {
            claim: reading.claim,
            ...(podClaimName === undefined ? {} : { podClaimName }),
            consumers,
          };
          // The file with the gate first: without it the claim stays without a name, and all is done again. Before it the checkpoint, which
          // then is all that remembers the CPUs of a claim without a name.
          await parts.checkpoint.save();
          await parts.cdi.write(toAllocation({ ...entry, ...named }));
          // Meanwhile it may have followed the agent to other CPUs.
          const now = parts.ledger.get(claim.metadata.uid);
          if (now === undefined) return;
          parts.ledger.put({ ...now, ...named, results: total === cpusOf(now).size ? results : [] });
          await parts.checkpoint.save();
          await parts.link.push(signal);
          parts.log.info("found the name of a claim that was taken over", { ...reading.claim });
        });
        // The others get their names all the same.
        await naming.catch((cause: Error) => faults.push(cause));
      }
      const gone = [...uids].filter((uid) => !found.some(({ metadata }) => metadata.uid === uid));
      for (const uid of gone) {
        if (!missing.has(uid)) continue;
        parts.log.warn("a claim that was taken over is gone from the API server; it is released", { claimUID: uid });
        await parts.perClaim.run(uid, () => parts.releaser.release(uid, signal));
      }
      missing = new Set(gone);
      if (faults[0] !== undefined) throw faults[0];
      said = "";
    } catch (cause) {
      const why = (cause as Error).message;
      if (why !== said) parts.log.warn("claims that were taken over cannot be named yet", { cause: why });
      said = why;
    }
    await pause(everyMs, signal);
  }
}
