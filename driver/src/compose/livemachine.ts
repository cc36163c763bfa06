import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import type { DriverSettings } from "../config/settings.ts";
import { cpusOf, type Ledger } from "../ledger/ledger.ts";
import { offlineFindings } from "../picture/findings.ts";
import { machineOf, onlineText, type MachineParts } from "./machine.ts";

/** sysfs tells nobody of a change; its one line is read this often. */
const EVERY_MS = 1000;

/** The machine as it is now: CPUs go offline and come back while the driver runs. Claims keep theirs, whatever happens to them. */
export class LiveMachine {
  readonly #settings: DriverSettings;
  readonly #ledger: Ledger;
  readonly #log: LogWriter;
  readonly #onChange: (text: string) => void;
  #parts: MachineParts;
  #said = "";

  /** @throws TopologyFault, OverlayFault */
  constructor(settings: DriverSettings, ledger: Ledger, log: LogWriter, onChange: (text: string) => void) {
    this.#settings = settings;
    this.#ledger = ledger;
    this.#log = log;
    this.#onChange = onChange;
    this.#parts = machineOf(settings);
    this.#tellProblems([]);
  }

  /** As of the last look. */
  get parts(): MachineParts {
    return this.#parts;
  }

  /** As of now; before CPUs are given away. */
  look(): MachineParts {
    const before = this.#parts;
    const was = before.machine.online.toString();
    try {
      const online = onlineText(this.#settings)?.trim();
      if (online === undefined || online === was) return before;
      const now = machineOf(this.#settings);
      this.#said = "";
      // What was written in another form is no change.
      if (now.machine.online.equals(before.machine.online)) return before;
      this.#parts = now;
      this.#log.warn("the machine's online CPUs changed", { from: was, to: now.machine.online.toString() });
      this.#tellProblems(before.plan.problems);
      this.tellOffline();
      this.#onChange(`Online CPUs are ${now.machine.online.toString()} now; they were ${was}`);
    } catch (cause) {
      const why = (cause as Error).message;
      if (why !== this.#said)
        this.#log.warn("the machine cannot be read now; it is taken to be as it was", { cause: why });
      this.#said = why;
    }
    return this.#parts;
  }

  tellOffline(): void {
    for (const entry of this.#ledger.entries())
      if (!cpusOf(entry).isSubsetOf(this.#parts.machine.online))
        this.#log.warn("a claim holds CPUs that are not online", {
          claimUID: entry.claim.uid,
          cpus: cpusOf(entry).toString(),
          code: CODES.claimCpusOffline.id,
        });
  }

  findings(): Finding[] {
    return this.#ledger.entries().flatMap((entry) => {
      const { namespace, name, uid } = entry.claim;
      const called = name === "" ? uid : `${namespace}/${name}`;
      return offlineFindings(called, cpusOf(entry), this.#parts.machine.online);
    });
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await pause(EVERY_MS, signal);
      this.look();
    }
  }

  #tellProblems(known: readonly string[]): void {
    for (const problem of this.#parts.plan.problems)
      if (!known.includes(problem)) this.#log.warn(problem, { code: CODES.machineUnclear.id });
  }
}
