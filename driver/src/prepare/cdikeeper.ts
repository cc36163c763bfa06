import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { toAllocation, type Ledger } from "../ledger/ledger.ts";
import type { CdiPort, PrepareLog } from "./ports.ts";
import type { PerKey } from "./queue.ts";

const EVERY_MS = 5000;
/** uids in one sentence. */
const MAX_NAMED = 5;

export interface CdiKeeperParts {
  readonly ledger: Ledger;
  readonly cdi: CdiPort;
  readonly perClaim: PerKey;
  readonly log: PrepareLog;
}

/** Files that vanish are written again: the kubelet does not call Prepare for a prepared claim, and its next container would need it. */
export class CdiKeeper {
  readonly #o: CdiKeeperParts;
  #why = "";
  /** Of files that belong to nobody, at the last look; one that is there at two looks is told of. */
  #strange: ReadonlySet<string> = new Set();
  #stale: readonly string[] = [];

  constructor(parts: CdiKeeperParts) {
    this.#o = parts;
  }

  findings(): Finding[] {
    const found: Finding[] = [];
    if (this.#why !== "")
      found.push({ code: CODES.cdiOff, text: `The CDI directory cannot be kept true: ${this.#why}` });
    if (this.#stale.length > 0) {
      const more = this.#stale.length > MAX_NAMED ? ` and ${this.#stale.length - MAX_NAMED} more` : "";
      found.push({
        code: CODES.cdiStale,
        text: `CDI files of claims that nobody knows here: ${this.#stale.slice(0, MAX_NAMED).join(", ")}${more}`,
      });
    }
    return found;
  }

  async run(signal: AbortSignal, everyMs = EVERY_MS): Promise<void> {
    const { cdi, ledger, perClaim, log } = this.#o;
    while (!signal.aborted) {
      try {
        const there = new Set(await cdi.list());
        for (const { claim } of ledger.entries()) {
          // A call under way for the claim writes or removes the file itself.
          if (there.has(claim.uid) || perClaim.isBusy(claim.uid)) continue;
          await perClaim.run(claim.uid, () => this.#writeVanished(claim.uid));
        }
        const named = await cdi.named();
        const strange = new Set(named.filter((uid) => ledger.get(uid) === undefined && !perClaim.isBusy(uid)));
        this.#stale = [...strange].filter((uid) => this.#strange.has(uid));
        this.#strange = strange;
        this.#why = "";
      } catch (cause) {
        const why = (cause as Error).message;
        if (why !== this.#why) log.error("the CDI directory cannot be kept true", { cause: why });
        this.#why = why;
      }
      await pause(everyMs, signal);
    }
  }

  /** A claim that was prepared last may be `preparing` in the checkpoint. One without a name has the file of another driver. */
  async #writeVanished(uid: string): Promise<void> {
    const { cdi, ledger, log } = this.#o;
    const entry = ledger.get(uid);
    if (entry === undefined || entry.claim.name === "") return;
    if (entry.phase !== "prepared" && entry.phase !== "preparing") return;
    if ((await cdi.list()).includes(uid)) return;
    await cdi.write(toAllocation(entry));
    log.warn("a claim's CDI file or device metadata was missing and was written again", {
      claim: `${entry.claim.namespace}/${entry.claim.name}`,
      claimUID: uid,
    });
  }
}
