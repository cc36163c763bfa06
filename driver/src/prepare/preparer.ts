import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { cdiId } from "../cdi/spec.ts";
import { choose, goal } from "../claims/choose.ts";
import { readClaim, readResults, type Offer, type OwnResult, type Wanted } from "../claims/decide.ts";
import { wishText } from "../claims/precedence.ts";
import { cpusOf, toAllocation, type Entry, type Ledger } from "../ledger/ledger.ts";
import type { AgentLink } from "./agentlink.ts";
import type {
  CdiPort,
  CheckpointPort,
  ClaimReader,
  ClaimRef,
  DraPlugin,
  PrepareLog,
  PrepareOutcome,
  PreparedDevice,
  UnprepareOutcome,
} from "./ports.ts";
import { PerKey, Shortage } from "./queue.ts";
import type { Releaser } from "./releaser.ts";

/** The kubelet cancels at 45 s and comes back only after more than a minute, so waiting is done inside the call. */
const PREPARE_MS = 40_000;
const RETRY_AGENT_MS = 200;

export interface PreparerOptions {
  readonly reader: ClaimReader;
  readonly ledger: Ledger;
  readonly checkpoint: CheckpointPort;
  readonly cdi: CdiPort;
  readonly link: AgentLink;
  readonly releaser: Releaser;
  readonly shortage: Shortage;
  readonly perClaim: PerKey;
  readonly offer: () => Offer;
  /** "" when new claims may be prepared, else why not. */
  readonly notReady: () => string;
  readonly log: PrepareLog;
  newOperationId(): string;
  onPrepared(result: "success" | "error", seconds: number, cpus: number): void;
  onUnprepared(result: "success" | "error"): void;
  now(): number;
}

class Refused extends Error {}

/**
 * Prepare and Unprepare, in their order: decide, reserve, checkpoint, CDI file, agent, answer. After the checkpoint a Prepare only goes
 * forward; whatever fails then is a sentence, and the kubelet's next call continues there.
 */
export class Preparer implements DraPlugin {
  readonly #o: PreparerOptions;

  constructor(options: PreparerOptions) {
    this.#o = options;
  }

  async prepare(claims: readonly ClaimRef[], signal: AbortSignal): Promise<ReadonlyMap<string, PrepareOutcome>> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(PREPARE_MS)]);
    const answers = await Promise.all(
      claims.map((ref) => this.#o.perClaim.run(ref.uid, () => this.#prepareOne(ref, bounded))),
    );
    return new Map(claims.map((ref, n) => [ref.uid, answers[n] ?? { kind: "refused", message: "no answer" }]));
  }

  async unprepare(claims: readonly ClaimRef[], signal: AbortSignal): Promise<ReadonlyMap<string, UnprepareOutcome>> {
    const answers = await Promise.all(
      claims.map((ref) => this.#o.perClaim.run(ref.uid, () => this.#unprepareOne(ref, signal))),
    );
    return new Map(claims.map((ref, n) => [ref.uid, answers[n] ?? { kind: "failed", message: "no answer" }]));
  }

  async #prepareOne(ref: ClaimRef, signal: AbortSignal): Promise<PrepareOutcome> {
    const began = this.#o.now();
    const fields = { claim: `${ref.namespace}/${ref.name}`, claimUID: ref.uid, operation: this.#o.newOperationId() };
    this.#o.log.info("begin: prepare", fields);
    const seconds = (): number => (this.#o.now() - began) / 1000;
    try {
      const entry = await this.#bring(ref, fields.operation, signal);
      const cpus = cpusOf(entry);
      this.#o.onPrepared("success", seconds(), cpus.size);
      this.#o.log.info("end: prepare", { ...fields, cpus: cpus.toString(), seconds: seconds() });
      return { kind: "prepared", devices: devicesOf(ref.uid, entry.results) };
    } catch (cause) {
      const message = (cause as Error).message;
      this.#o.onPrepared("error", seconds(), 0);
      this.#o.log.warn("end: prepare", { ...fields, seconds: seconds(), cause: message });
      if (!(cause instanceof Refused) && (cause as { code?: unknown }).code === undefined) {
        this.#o.log.error("a prepare failed in an unforeseen way", {
          ...fields,
          cause: (cause as Error).stack ?? message,
        });
      }
      return { kind: "refused", message: `dra.cpu: ${message}` };
    }
  }

  async #bring(ref: ClaimRef, operationId: string, signal: AbortSignal): Promise<Entry> {
    const at = `claim ${ref.namespace}/${ref.name}`;
    const notReady = this.#o.notReady();
    if (notReady !== "") throw new Refused(`Cannot prepare ${at} yet: ${notReady}`);
    const claim = await this.#o.reader.get(ref.namespace, ref.name, signal);
    if (claim === undefined) throw new Refused(`Cannot prepare ${at}: the API server has no such claim`);
    if (claim.metadata.uid !== ref.uid) {
      throw new Refused(
        `Cannot prepare ${at}: it was replaced (its uid is ${claim.metadata.uid}, the kubelet asks for ${ref.uid}); delete and re-create the pod`,
      );
    }
    const known = this.#o.ledger.get(ref.uid);
    if (known?.phase === "draining")
      throw new Refused(`Cannot prepare ${at}: it is being released on this node; the kubelet tries again`);
    let entry: Entry;
    if (known === undefined) {
      const wanted = readClaim(claim, this.#o.offer());
      if (wanted.kind === "refused") throw new Refused(wanted.message);
      entry = await this.#reserve(at, wanted, operationId, signal);
    } else {
      const reading = readResults(claim, this.#o.offer().driver);
      if (reading.kind === "refused") throw new Refused(reading.message);
      const changed = differs(known, reading.results);
      if (changed !== "") throw new Refused(`Cannot prepare ${at}: ${changed}; delete and re-create the pod`);
      entry = {
        ...known,
        phase: known.phase === "prepared" ? "prepared" : "preparing",
        consumers: reading.consumers,
        results: reading.results,
      };
      this.#o.ledger.put(entry);
    }
    await this.#store(at, entry);
    await this.#enforce(at, entry, signal);
    // Not worth a checkpoint: a restart finds the CDI file, asks the agent, and comes to the same.
    const prepared: Entry = { ...entry, phase: "prepared" };
    if (this.#o.ledger.get(ref.uid)?.phase !== "draining") this.#o.ledger.put(prepared);
    return prepared;
  }

  /** Chooses and takes the CPUs in one turn of the event loop, so that nobody else can take them in between. */
  async #reserve(at: string, wanted: Wanted, operationId: string, signal: AbortSignal): Promise<Entry> {
    const { ledger, shortage, log } = this.#o;
    const { claim, consumers, results, isolated } = wanted;
    const wishes = [...wanted.wishes].map(([request, wish]) => `${request}: ${wishText(wish)}`);
    const waitsFor = goal(wanted, this.#o.offer());
    let last: { because: string; among: CpuSet } | undefined;
    const decide = (promised: CpuSet): Entry | undefined => {
      const offer = this.#o.offer();
      const free = offer.machine.online.minus(ledger.held()).minus(promised);
      const answer = choose(wanted, offer, free);
      if (answer.kind === "chosen") {
        const { shares, idle } = answer;
        const entry: Entry = { claim, phase: "preparing", consumers, shares, idle, isolated, results, operationId };
        ledger.put(entry);
        return entry;
      }
      if (!answer.mayWait) throw new Refused(`Cannot prepare ${at}: ${answer.because}`);
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
      `Cannot prepare ${at}: ${last?.because ?? "claims that came before it wait for CPUs"}. CPUs are held by ${holders === "" ? "nobody" : holders}. They did not come free within ${PREPARE_MS / 1000} s; the kubelet tries again`,
    );
  }

  /** The checkpoint first: after it the CPUs are the claim's, whatever happens. */
  async #store(at: string, entry: Entry): Promise<void> {
    try {
      await this.#o.checkpoint.save();
      await this.#o.cdi.write(toAllocation(entry));
    } catch (cause) {
      throw new Refused(`Cannot prepare ${at}: ${(cause as Error).message}`, { cause });
    }
  }

  async #enforce(at: string, entry: Entry, signal: AbortSignal): Promise<void> {
    let why = "the NRI agent did not answer";
    while (!signal.aborted) {
      try {
        const progress = await this.#o.link.progress(entry.claim.uid, 5000, signal);
        if (progress.progress === Progress.ENFORCED) return;
        if (progress.progress === Progress.IMPOSSIBLE)
          throw new Refused(`Cannot prepare ${at} on CPUs ${cpusOf(entry).toString()}: ${progress.why}`);
        if (progress.why !== "") why = progress.why;
      } catch (cause) {
        if (cause instanceof Refused) throw cause;
        why = (cause as Error).message;
        await pause(RETRY_AGENT_MS, signal);
      }
    }
    throw new Refused(
      `Cannot prepare ${at}: its CPUs ${cpusOf(entry).toString()} are reserved, but not yet its own alone: ${why}. The kubelet tries again by itself`,
    );
  }

  async #unprepareOne(ref: ClaimRef, signal: AbortSignal): Promise<UnprepareOutcome> {
    const fields = { claim: `${ref.namespace}/${ref.name}`, claimUID: ref.uid, operation: this.#o.newOperationId() };
    this.#o.log.info("begin: unprepare", fields);
    try {
      await this.#o.releaser.release(ref.uid, signal);
      this.#o.onUnprepared("success");
      this.#o.log.info("end: unprepare", fields);
      return { kind: "done" };
    } catch (cause) {
      this.#o.onUnprepared("error");
      this.#o.log.error("end: unprepare", { ...fields, cause: (cause as Error).message });
      return {
        kind: "failed",
        message: `dra.cpu: Cannot release claim ${ref.namespace}/${ref.name}: ${(cause as Error).message}`,
      };
    }
  }
}

/** "" where the results are those that were prepared; an entry rebuilt from files has shares and a total to compare only. */
function differs(known: Entry, results: readonly OwnResult[]): string {
  const text = (all: readonly OwnResult[]): string =>
    all
      .filter(({ count }) => count > 0)
      .map(({ request, device, count }) => `${request}=${device}:${count}`)
      .sort()
      .join(" ");
  if (known.results.length > 0) {
    const [had, has] = [text(known.results), text(results)];
    return had === has ? "" : `it is prepared as ${had}, and its allocation now says ${has}`;
  }
  const total = results.reduce((sum, { count }) => sum + count, 0);
  const strangers = known.shares.filter(
    (share) => !results.some((one) => one.request === share.request && one.device === share.device && one.count > 0),
  );
  if (total === cpusOf(known).size && strangers.length === 0) return "";
  const had = known.shares.map(({ request, device, cpus }) => `${request}=${device}:${cpus.size}`).join(" ");
  return `it holds ${cpusOf(known).size} CPUs as ${had}, and its allocation now says ${text(results)}`;
}

function devicesOf(uid: string, results: readonly OwnResult[]): PreparedDevice[] {
  const seen = new Set<string>();
  return results.map((result) => {
    const first = result.count > 0 && !seen.has(result.request);
    seen.add(result.request);
    return {
      requestNames: [result.request],
      pool: result.pool,
      device: result.device,
      cdiDeviceIds: first ? [cdiId(uid, result.request)] : [],
      shareId: result.shareId,
    };
  });
}
