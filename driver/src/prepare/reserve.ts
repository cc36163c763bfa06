import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { choose, goal, type Chosen, type NotChosen } from "../claims/choose.ts";
import type { Offer, Wanted } from "../claims/decide.ts";
import { wishText } from "../claims/precedence.ts";
import { cpusOf, type Entry, type Ledger } from "../ledger/ledger.ts";
import { nextPhase } from "../ledger/phase.ts";
import type { PrepareLog } from "./ports.ts";
import type { Shortage } from "./queue.ts";
import { Refused } from "./refused.ts";

/**
 * Where CPUs are reserved or kept for other containers, claims of an earlier configuration may still hold those: then nobody takes the last one besides,
 * since a shared pool without a CPU is on all claims' CPUs.
 */
function leavingSome(answer: Chosen | NotChosen, offer: Offer, unheld: CpuSet): Chosen | NotChosen {
  const kept = offer.reserved.union(offer.keepShared);
  if (answer.kind !== "chosen" || kept.isEmpty) return answer;
  const taken = CpuSet.union([answer.idle, ...answer.shares.map((share) => share.cpus)]);
  if (!unheld.minus(taken).isEmpty) return answer;
  return {
    kind: "shortfall",
    because: `no CPU would be left for containers without a claim: CPUs ${kept.toString()}, which are reserved or kept for them, are offline or held by claims`,
    among: kept,
    mayWait: true,
  };
}

/** Chooses and takes the CPUs in one turn of the event loop, so that nobody else can take them in between. */
export async function reserve(
  o: {
    readonly ledger: Ledger;
    readonly shortage: Shortage;
    readonly log: PrepareLog;
    offer(): Offer;
    time(): number;
  },
  boundMs: number,
  at: string,
  wanted: Wanted,
  operationId: string,
  signal: AbortSignal,
): Promise<Entry> {
  const { ledger, shortage, log } = o;
  const { claim, podClaimName, consumers, results, isolated } = wanted;
  const wishes = [...wanted.wishes].map(([request, wish]) => `${request}: ${wishText(wish)}`);
  const waitsFor = goal(wanted, o.offer());
  let last: { because: string; among: CpuSet } | undefined;
  const decide = (promised: CpuSet): Entry | undefined => {
    const offer = o.offer();
    const unheld = offer.machine.online.minus(ledger.held());
    const free = unheld.minus(promised);
    const answer = leavingSome(choose(wanted, offer, free), offer, unheld);
    if (answer.kind === "chosen") {
      const { shares, idle } = answer;
      const chosen = { atMs: o.time(), free, wishes };
      const entry: Entry = {
        claim,
        phase: nextPhase(undefined, "prepare"),
        consumers,
        shares,
        idle,
        isolated,
        results,
        operationId,
        ...(podClaimName === undefined ? {} : { podClaimName }),
        chosen,
      };
      ledger.put(entry);
      return entry;
    }
    if (!answer.mayWait) throw new Refused(CODES.claimUnusable, `Cannot prepare ${at}: ${answer.because}`);
    if (last === undefined) log.info("a prepare waits for CPUs", { claim: at, wishes, because: answer.because });
    last = answer;
    return undefined;
  };
  const entry = await shortage.wait(waitsFor, decide, signal);
  if (entry !== undefined) {
    log.info("chose CPUs for a claim", { claim: at, wishes, cpus: cpusOf(entry).toString() });
    return entry;
  }
  const holders = ledger.holders(last?.among ?? waitsFor.cpus);
  throw new Refused(
    CODES.cpusShort,
    `Cannot prepare ${at}: ${last?.because ?? "claims that came before it wait for CPUs"}. CPUs are held by ${holders === "" ? "nobody" : holders}. They did not come free within ${boundMs / 1000} s; the kubelet tries again`,
  );
}
