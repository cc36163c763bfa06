import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { adopt, holdBare } from "./adoption.ts";
import type { CdiPort, PrepareLog } from "./ports.ts";

const READ_AGAIN_MS = 1000;

export interface RebuildingOptions {
  readonly ledger: Ledger;
  readonly cdi: CdiPort;
  readonly log: PrepareLog;
  /** The checkpoint knows all claims of this node. */
  readonly complete: boolean;
  onComplete(): void;
}

/**
 * What the node remembers of claims beside the checkpoint. Until everything that remembers was asked, no claim is prepared: its CPUs could be
 * somebody's. A fresh node asks too, since it cannot tell itself from one that has lost its disk.
 */
export class Rebuilding {
  readonly #o: RebuildingOptions;
  #filesRead = false;
  #agentAsked: boolean;
  #why = "not read yet";

  constructor(options: RebuildingOptions) {
    this.#o = options;
    this.#agentAsked = options.complete;
  }

  /** "" when claims may be prepared. */
  why(): string {
    if (!this.#filesRead) return `it is not known yet which claims the CDI directory remembers: ${this.#why}`;
    if (!this.#agentAsked) return "there is no checkpoint, and the NRI agent was not asked yet which claims it knows";
    return "";
  }

  /** Some claims may be unknown; goes into the checkpoint, so that a restart does not forget to ask. */
  get isComplete(): boolean {
    return this.#agentAsked && (this.#o.complete || this.#filesRead);
  }

  /** Before anything is served. */
  async readFiles(): Promise<void> {
    const { ledger, cdi, log, complete } = this.#o;
    try {
      const { allocations, bare, unreadable } = await cdi.remembered();
      for (const { file, why } of unreadable)
        log.error("a CDI file is unreadable; it is skipped", { file, cause: why });
      const adopted = complete ? 0 : adopt(ledger, allocations, log, "CDI files");
      if (adopted > 0) log.info("claims are known from their CDI files", { claims: adopted });
      holdBare(ledger, bare, log);
      this.#filesRead = true;
      this.#completed();
    } catch (cause) {
      const why = (cause as Error).message;
      if (why !== this.#why) log.error("the CDI directory is unreadable; trying again", { cause: why });
      this.#why = why;
    }
  }

  async keepReading(signal: AbortSignal): Promise<void> {
    while (!this.#filesRead && !signal.aborted) {
      await pause(READ_AGAIN_MS, signal);
      if (!signal.aborted) await this.readFiles();
    }
  }

  agentRemembers(allocations: () => readonly AllocationRecord[]): void {
    if (this.#agentAsked) return;
    const adopted = adopt(this.#o.ledger, allocations(), this.#o.log, "the NRI agent");
    if (adopted > 0) this.#o.log.info("claims are known from the NRI agent", { claims: adopted });
    this.#agentAsked = true;
    this.#completed();
  }

  #completed(): void {
    if (!this.#o.complete && this.isComplete) this.#o.onComplete();
  }
}
