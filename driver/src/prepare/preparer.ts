import { coded, type Code, type Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { within } from "@dracpu/shared-proto/lifecycle/within.ts";
import { readClaim, readResults, type Offer } from "../claims/decide.ts";
import type { ResourceClaim } from "../claims/resourceclaim.ts";
import { cpusOf, type Entry, type Ledger } from "../ledger/ledger.ts";
import { nextPhase } from "../ledger/phase.ts";
import type { AgentLink } from "./agentlink.ts";
import { devicesOf, differs, looking } from "./answer.ts";
import { Calls } from "./calls.ts";
import { fulfil } from "./fulfil.ts";
import {
  isReaderFault,
  type CdiPort,
  type CheckpointPort,
  type ClaimReader,
  type ClaimRef,
  type DraPlugin,
  type PrepareLog,
  type PrepareOutcome,
  type UnprepareOutcome,
} from "./ports.ts";
import { PerKey, Shortage } from "./queue.ts";
import { Refused } from "./refused.ts";
import { reserve } from "./reserve.ts";
import type { Releaser } from "./releaser.ts";
import { untilReleased } from "./sameclaim.ts";

/** The kubelet cancels at 45 s and comes back only after more than a minute, so waiting is done inside the call. */
const PREPARE_MS = 40_000;
const LOOK_READY_MS = 100;
/** A claim that holds its CPUs is read again for its consumers; without the API server it is answered as it was after this long. */
const READ_AGAIN_MS = 3000;
/** Calls under way when the driver stops; then Prepares are told to fail, and get a moment for it. */
const STOP_MS = 10_000;
const STOP_ANSWERS_MS = 2000;

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
  /** Why this node prepares no new claims at all; those that it holds are answered as ever. */
  readonly unsuited: () => Finding | undefined;
  readonly log: PrepareLog;
  newOperationId(): string;
  onPrepared(outcome: Outcome & { readonly seconds: number; readonly cpus: CpuSet }): void;
  onUnprepared(outcome: Outcome): void;
  /** A claim is prepared that was not before; earlier calls for it may have failed. `undefined`: the API server did not answer, and the claim was known. */
  onServed(claim: ResourceClaim | undefined, entry: Entry): void;
  /** Kubernetes tells nobody about a release that fails. */
  onReleaseFailed(claim: ClaimRef, why: string): void;
  now(): number;
  /** Milliseconds since 1970. */
  time(): number;
}

/** How a call for one claim ended. */
export interface Outcome {
  readonly result: "success" | "error";
  readonly claim: ClaimRef;
  readonly operation: string;
  /** Why it failed. */
  readonly why: string;
  readonly code: Code | undefined;
}

/**
 * Prepare and Unprepare, in their order: decide, reserve, checkpoint, then CDI file and agent, answer. After the checkpoint a Prepare only goes
 * forward; whatever fails then is a sentence, and the kubelet's next call continues there.
 */
export class Preparer implements DraPlugin {
  readonly #o: PreparerOptions;
  readonly #calls = new Calls();
  readonly #stopping = new AbortController();
  #refusing = false;

  constructor(options: PreparerOptions) {
    this.#o = options;
  }

  async prepare(claims: readonly ClaimRef[], signal: AbortSignal): Promise<ReadonlyMap<string, PrepareOutcome>> {
    const answers = await within(PREPARE_MS, [signal, this.#stopping.signal], (bounded) =>
      this.#calls.count(claims.map((ref) => this.#o.perClaim.run(ref.uid, () => this.#prepareOne(ref, bounded)))),
    );
    return new Map(claims.map((ref, n) => [ref.uid, answers[n] ?? { kind: "refused", message: "no answer" }]));
  }

  async unprepare(claims: readonly ClaimRef[], signal: AbortSignal): Promise<ReadonlyMap<string, UnprepareOutcome>> {
    const answers = await this.#calls.count(
      claims.map((ref) => this.#o.perClaim.run(ref.uid, () => this.#unprepareOne(ref, signal))),
    );
    return new Map(claims.map((ref, n) => [ref.uid, answers[n] ?? { kind: "failed", message: "no answer" }]));
  }

  async stop(graceMs = STOP_MS): Promise<void> {
    this.#refusing = true;
    await this.#calls.answered(graceMs);
    this.#stopping.abort();
    await this.#calls.answered(STOP_ANSWERS_MS);
  }

  async #prepareOne(ref: ClaimRef, signal: AbortSignal): Promise<PrepareOutcome> {
    const began = this.#o.now();
    const fields = { claim: `${ref.namespace}/${ref.name}`, claimUID: ref.uid, operation: this.#o.newOperationId() };
    this.#o.log.info("begin: prepare", fields);
    const about = { claim: ref, operation: fields.operation, why: "", code: undefined };
    const seconds = (): number => (this.#o.now() - began) / 1000;
    try {
      const entry = await this.#bring(ref, fields.operation, signal);
      const cpus = cpusOf(entry);
      this.#o.onPrepared({ ...about, result: "success", seconds: seconds(), cpus });
      this.#o.log.info("end: prepare", { ...fields, cpus: cpus.toString(), seconds: seconds() });
      return { kind: "prepared", devices: devicesOf(entry) };
    } catch (cause) {
      const message = this.#stopping.signal.aborted
        ? `Cannot prepare claim ${ref.namespace}/${ref.name}: the driver is stopping; the kubelet tries again`
        : (cause as Error).message;
      const code = cause instanceof Refused && !this.#stopping.signal.aborted ? cause.code : CODES.driverNotReady;
      const failed = { ...about, result: "error", why: message, code, seconds: seconds(), cpus: CpuSet.empty } as const;
      this.#o.onPrepared(failed);
      this.#o.log.warn("end: prepare", { ...fields, seconds: seconds(), cause: message, code: code.id });
      if (!(cause instanceof Refused) && (cause as { code?: unknown }).code === undefined) {
        this.#o.log.error("a prepare failed in an unforeseen way", {
          ...fields,
          cause: (cause as Error).stack ?? message,
        });
      }
      return { kind: "refused", message: coded({ code, text: `dra.cpu: ${message}` }) };
    }
  }

  async #bring(ref: ClaimRef, operationId: string, signal: AbortSignal): Promise<Entry> {
    const at = `claim ${ref.namespace}/${ref.name}`;
    await this.#ready(at, signal);
    const claim = await this.#read(at, ref, signal);
    if (claim !== undefined && claim.metadata.uid !== ref.uid) {
      throw new Refused(
        CODES.claimChanged,
        `Cannot prepare ${at}: it was replaced (its uid is ${claim.metadata.uid}, the kubelet asks for ${ref.uid}); delete and re-create the pod`,
      );
    }
    const leaving = await untilReleased(this.#o, ref.uid, signal);
    if (leaving !== "")
      throw new Refused(CODES.claimStillInUse, `Cannot prepare ${at}: ${leaving}; the kubelet tries again`);
    const known = this.#o.ledger.get(ref.uid);
    let entry: Entry;
    if (claim === undefined) {
      if (known === undefined) throw new Refused(CODES.claimChanged, `Cannot prepare ${at}: it was released meanwhile`);
      entry = { ...known, phase: nextPhase(known.phase, "prepare") };
      this.#o.ledger.put(entry);
    } else if (known === undefined) {
      const unsuited = this.#o.unsuited();
      if (unsuited !== undefined) throw new Refused(unsuited.code, `Cannot prepare ${at}: ${unsuited.text}`);
      const wanted = readClaim(claim, this.#o.offer());
      if (wanted.kind === "refused") throw new Refused(CODES.claimUnusable, wanted.message);
      if (wanted.results.every(({ count }) => count === 0)) return looking(wanted, operationId);
      entry = await reserve(this.#o, PREPARE_MS, at, wanted, operationId, signal);
    } else {
      const reading = readResults(claim, this.#o.offer().driver);
      if (reading.kind === "refused") throw new Refused(CODES.claimUnusable, reading.message);
      const changed = differs(known, reading.results);
      if (changed !== "")
        throw new Refused(CODES.claimChanged, `Cannot prepare ${at}: ${changed}; delete and re-create the pod`);
      entry = {
        ...known,
        claim: reading.claim,
        ...(reading.podClaimName === undefined ? {} : { podClaimName: reading.podClaimName }),
        phase: nextPhase(known.phase, "prepare"),
        consumers: reading.consumers,
        results: reading.results,
      };
      this.#o.ledger.put(entry);
    }
    // The checkpoint first: after it the CPUs are the claim's, whatever happens.
    try {
      await this.#o.checkpoint.save();
    } catch (cause) {
      throw new Refused(CODES.checkpointUnwritable, `Cannot prepare ${at}: ${(cause as Error).message}`, { cause });
    }
    await fulfil(this.#o, at, entry, signal);
    const now = this.#o.ledger.get(ref.uid);
    if (now === undefined || now.phase === "draining")
      throw new Refused(CODES.claimChanged, `Cannot prepare ${at}: it was released meanwhile; the kubelet tries again`);
    // Not worth a checkpoint: a restart finds the CDI file, asks the agent, and comes to the same.
    const prepared: Entry = { ...now, phase: nextPhase(now.phase, "fulfilled"), results: entry.results };
    this.#o.ledger.put(prepared);
    if (known?.phase !== "prepared") this.#o.onServed(claim, prepared);
    return prepared;
  }

  /** Inside the bound, since the kubelet comes back only after more than a minute. */
  async #ready(at: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      const why = this.#refusing ? "the driver is stopping" : this.#o.notReady();
      if (why === "") return;
      if (this.#refusing || signal.aborted)
        throw new Refused(CODES.driverNotReady, `Cannot prepare ${at} yet: ${why}; the kubelet tries again`);
      await pause(LOOK_READY_MS, signal);
    }
  }

  /** @returns `undefined` where the API server is away and the ledger knows the answer. */
  async #read(at: string, ref: ClaimRef, signal: AbortSignal): Promise<ResourceClaim | undefined> {
    const known = this.#o.ledger.get(ref.uid);
    const isKnown = known !== undefined && known.phase !== "draining" && known.results.length > 0;
    let claim: ResourceClaim | undefined;
    try {
      const get = (bounded: AbortSignal): Promise<ResourceClaim | undefined> =>
        this.#o.reader.get(ref.namespace, ref.name, bounded);
      claim = isKnown ? await within(READ_AGAIN_MS, [signal], get) : await get(signal);
    } catch (cause) {
      if (!isReaderFault(cause)) throw cause;
      if (isKnown && cause.isTransient) return undefined;
      throw new Refused(CODES.claimUnreadable, `Cannot prepare ${at}: ${cause.message}; the kubelet tries again`, {
        cause,
      });
    }
    if (claim === undefined)
      throw new Refused(CODES.claimUnreadable, `Cannot prepare ${at}: the API server has no such claim`);
    return claim;
  }

  async #unprepareOne(ref: ClaimRef, signal: AbortSignal): Promise<UnprepareOutcome> {
    const fields = { claim: `${ref.namespace}/${ref.name}`, claimUID: ref.uid, operation: this.#o.newOperationId() };
    const about = { claim: ref, operation: fields.operation, why: "", code: undefined };
    this.#o.log.info("begin: unprepare", fields);
    try {
      await this.#o.releaser.release(ref.uid, signal);
      this.#o.onUnprepared({ ...about, result: "success" });
      this.#o.log.info("end: unprepare", fields);
      return { kind: "done" };
    } catch (cause) {
      const why = (cause as Error).message;
      this.#o.onUnprepared({ ...about, result: "error", why, code: CODES.unprepareFailed });
      this.#o.onReleaseFailed(ref, why);
      this.#o.log.error("end: unprepare", { ...fields, cause: why, code: CODES.unprepareFailed.id });
      const text = `dra.cpu: Cannot release claim ${ref.namespace}/${ref.name}: ${why}`;
      return { kind: "failed", message: coded({ code: CODES.unprepareFailed, text }) };
    }
  }
}
