import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import type { DriverSettings } from "../config/settings.ts";
import { cpusOf, type Ledger } from "../ledger/ledger.ts";
import { offlineFindings } from "../picture/findings.ts";
import { machineJson } from "../topology/json.ts";
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
  /** The machine changed, and was not read again since. */
  #settling = false;

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

  /** As of now; before CPUs are given away. @param whole also where the same CPUs are online. */
  look(whole = false): MachineParts {
    const before = this.#parts;
    const was = before.machine.online.toString();
    try {
      const online = onlineText(this.#settings)?.trim();
      if (online === undefined || (online === was && !whole)) return before;
      const now = machineOf(this.#settings);
      this.#said = "";
      // What was written in another form is no change.
      const isSame = now.machine.online.equals(before.machine.online);
      if (isSame && (!whole || textOf(now) === textOf(before))) return before;
      this.#parts = now;
      this.#settling = true;
      const to = now.machine.online.toString();
      if (isSame) this.#log.warn("what the kernel tells of the online CPUs changed", { online: to });
      else this.#log.warn("the machine's online CPUs changed", { from: was, to });
      this.#tellProblems(before.plan.problems);
      this.tellOffline();
      this.#onChange(
        isSame ? `What the kernel tells of CPUs ${to} changed` : `Online CPUs are ${to} now; they were ${was}`,
      );
    } catch (cause) {
      const why = (cause as Error).message;
      if (why !== this.#said)
        this.#log.warn("the machine cannot be read now; it is taken to be as it was", { cause: why });
      this.#said = why;
      this.#settling ||= whole;
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
      // A CPU is in `online` some milliseconds before the kernel has made its cache files (cacheinfo_cpu_online, a later step of hotplug).
      const whole = this.#settling;
      this.#settling = false;
      await pause(EVERY_MS, signal);
      this.look(whole);
    }
  }

  #tellProblems(known: readonly string[]): void {
    for (const problem of this.#parts.plan.problems)
      if (!known.includes(problem)) this.#log.warn(problem, { code: CODES.machineUnclear.id });
  }
}

function textOf({ machine, plan }: MachineParts): string {
  return JSON.stringify([machineJson(machine), plan.devices]);
}
