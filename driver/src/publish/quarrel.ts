import { Backoff, pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { PrepareLog } from "../prepare/ports.ts";
import type { StoredSlice } from "./ports.ts";

/** Somebody else who writes our slices, again and again: we come less and less often, until it was quiet for so long. */
const QUIET_MS = 60_000;

/** Keeps two writers of the same slices from a race at the API server's expense, and says who the other is. */
export class Quarrel {
  readonly #driver: string;
  readonly #log: PrepareLog;
  readonly #again = new Backoff(200, 60_000);
  #quiet: AbortController | undefined;
  #blamed = "";

  constructor(driver: string, log: PrepareLog) {
    this.#driver = driver;
    this.#log = log;
  }

  /** A kubelet deletes the slices once per start; that is no quarrel. */
  forgive(): void {
    this.#again.reset();
  }

  /** Waits where we wrote not long ago. `stored` are the slices that somebody has changed meanwhile. */
  async beforeWrite(stored: readonly StoredSlice[], signal: AbortSignal): Promise<void> {
    if (this.#quiet !== undefined) {
      this.#blame(stored);
      await pause(this.#again.nextMs(), signal);
    }
    this.#quiet?.abort();
    const mine = new AbortController();
    this.#quiet = mine;
    void pause(QUIET_MS, AbortSignal.any([signal, mine.signal])).then(() => {
      if (this.#quiet !== mine) return;
      this.#quiet = undefined;
      this.#again.reset();
    });
  }

  /** Once for each set of them; the server keeps the names of all writers. */
  #blame(slices: readonly StoredSlice[]): void {
    const names = slices.flatMap(({ metadata }) => metadata.managedFields?.map((one) => one.manager ?? "") ?? []);
    const others = [...new Set(names)].filter((name) => name !== this.#driver && name !== "").join(", ");
    if (others === "" || others === this.#blamed) return;
    this.#blamed = others;
    this.#log.warn(
      "somebody else writes this node's ResourceSlices too; they are applied again less and less often. Stop that writer",
      { managers: others, slices: slices.map((slice) => slice.metadata.name) },
    );
  }
}
