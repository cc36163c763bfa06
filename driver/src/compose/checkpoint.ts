import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { LatestWrite } from "@dracpu/shared-proto/disk/latest.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import type { CheckpointFile } from "../disk/checkpointfile.ts";
import { afterBoot, type Memory } from "../ledger/checkpoint.ts";
import type { Ledger } from "../ledger/ledger.ts";
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

/** What an earlier life of the driver knew, put into the ledger; a damaged file is set aside. */
export async function readMemory(
  file: CheckpointFile,
  ledger: Ledger,
  bootId: string,
  log: LogWriter,
): Promise<{ readonly epoch: bigint; readonly later: Pick<Memory, "later">; readonly isComplete: boolean }> {
  const loaded = await file.load();
  if (loaded.kind === "memory") {
    const { epoch, entries, later, complete } = afterBoot(loaded.memory, bootId);
    for (const entry of entries) ledger.put(entry);
    log.info("read the checkpoint", { claims: entries.length, rebooted: bootId !== loaded.memory.bootId });
    return { epoch, later: later === undefined ? {} : { later }, isComplete: complete };
  }
  if (loaded.kind === "damaged") {
    log.error("the checkpoint is damaged and was set aside; it is rebuilt from CDI files and the NRI agent", {
      file: loaded.aside,
      cause: loaded.why,
      code: CODES.checkpointDamaged.id,
    });
  }
  return { epoch: 0n, later: {}, isComplete: false };
}
