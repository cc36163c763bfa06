import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { LatestWrite } from "@dracpu/shared-proto/disk/latest.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { CheckpointPort } from "../prepare/ports.ts";

const AGAIN_MS = 5000;

/** The durable record, as one that says why it cannot be written, and tries again by itself until it can. */
export class Checkpoint implements CheckpointPort {
  readonly #writes: LatestWrite;
  #why = "";

  constructor(write: () => Promise<void>) {
    this.#writes = new LatestWrite(async () => {
      try {
        await write();
        this.#why = "";
      } catch (cause) {
        this.#why = (cause as Error).message;
        throw cause;
      }
    });
  }

  save(): Promise<void> {
    return this.#writes.save();
  }

  findings(): Finding[] {
    return this.#why === ""
      ? []
      : [{ code: CODES.checkpointUnwritable, text: `No new claim is prepared: ${this.#why}` }];
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(AGAIN_MS, signal);
      if (this.#why !== "" && !signal.aborted)
        await this.save().catch(() => {
          // What it says stands in the findings.
        });
    }
  }
}
