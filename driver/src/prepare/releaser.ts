import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { Backoff, pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { within } from "@dracpu/shared-proto/lifecycle/within.ts";
import { toAllocation, type Entry, type Ledger } from "../ledger/ledger.ts";
import { nextPhase } from "../ledger/phase.ts";
import type { AgentLink } from "./agentlink.ts";
import type { CdiPort, CheckpointPort, PrepareLog } from "./ports.ts";
import type { Shortage } from "./queue.ts";

/** The agent is told within an Unprepare where that is quick; otherwise it learns of it when it is back. */
const TELL_MS = 2000;

/**
 * Releases claims and waits, in the background, until no container of them lives. Until then their CPUs are nobody's. With the agent
 * away everything released waits for it.
 */
export class Releaser {
  readonly #ledger: Ledger;
  readonly #checkpoint: CheckpointPort;
  readonly #cdi: CdiPort;
  readonly #link: AgentLink;
  readonly #shortage: Shortage;
  readonly #log: PrepareLog;
  readonly #onWaits: (entry: Entry, containers: number) => void;
  readonly #draining = new Set<string>();
  #signal: AbortSignal | undefined;

  constructor(parts: {
    ledger: Ledger;
    checkpoint: CheckpointPort;
    cdi: CdiPort;
    link: AgentLink;
    shortage: Shortage;
    log: PrepareLog;
    onWaits?: (entry: Entry, containers: number) => void;
  }) {
    this.#ledger = parts.ledger;
    this.#checkpoint = parts.checkpoint;
    this.#cdi = parts.cdi;
    this.#link = parts.link;
    this.#shortage = parts.shortage;
    this.#log = parts.log;
    this.#onWaits = parts.onWaits ?? (() => {});
  }

  /** Takes up what an earlier life left draining. */
  start(signal: AbortSignal): void {
    this.#signal = signal;
    for (const entry of this.#ledger.entries()) if (entry.phase === "draining") this.#drain(entry.claim.uid);
  }

  /** Works from the uid alone; an unknown claim is success. @throws DiskFault: it was not released, or its CDI file is still there. */
  async release(uid: string, signal: AbortSignal): Promise<void> {
    const entry = this.#ledger.get(uid);
    if (entry !== undefined && entry.phase !== "draining") {
      this.#ledger.put({ ...entry, phase: nextPhase(entry.phase, "release") });
      try {
        await this.#checkpoint.save();
      } catch (cause) {
        this.#ledger.put(entry);
        throw cause;
      }
    }
    // Durable: whatever fails from here on is tried again by the drain.
    if (entry !== undefined) this.#drain(uid);
    await this.#cdi.remove(uid);
    if (entry === undefined) return;
    await within(TELL_MS, [signal], (soon) => this.#link.push(soon)).catch((cause: unknown) => {
      this.#log.warn("the NRI agent could not be told of a release; it is told when it is back", {
        claimUID: uid,
        cause: (cause as Error).message,
      });
    });
  }

  #drain(uid: string): void {
    const signal = this.#signal;
    if (signal === undefined || this.#draining.has(uid)) return;
    this.#draining.add(uid);
    void this.#untilDrained(uid, signal);
  }

  async #untilDrained(uid: string, signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(200, 5000);
    let said = "";
    while (!signal.aborted) {
      const entry = this.#ledger.get(uid);
      if (entry === undefined || entry.phase !== "draining") break;
      try {
        await this.#cdi.remove(uid);
        const progress = await this.#link.progress(uid, 5000, signal);
        if (progress.progress === Progress.DRAINED) {
          this.#ledger.remove(uid);
          this.#shortage.released();
          this.#log.info("a claim's CPUs are free again", {
            claim: `${entry.claim.namespace}/${entry.claim.name}`,
            claimUID: uid,
            cpus: toAllocation(entry)
              .shares.map((share) => share.cpus.toString())
              .join(","),
          });
          await this.#checkpoint.save();
          await this.#link.push(signal);
          // Meanwhile it may have been prepared and released again.
          continue;
        }
        if (progress.why !== said) {
          said = progress.why;
          this.#log.info("a released claim waits for its containers to end", {
            claimUID: uid,
            why: said,
            containers: progress.containers.map((one) => `${one.podNamespace}/${one.podName}/${one.name}`),
          });
          this.#onWaits(entry, progress.containers.length);
        }
        backoff.reset();
      } catch (cause) {
        const why = (cause as Error).message;
        if (why !== said)
          this.#log.warn("cannot tell yet whether a released claim is drained", { claimUID: uid, cause: why });
        said = why;
        if (this.#ledger.get(uid) === undefined) break;
      }
      await pause(backoff.nextMs(), signal);
    }
    this.#draining.delete(uid);
  }
}
