import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { Backoff, pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import type { DriverSettings } from "../config/settings.ts";
import { cpusOf, type Ledger } from "../ledger/ledger.ts";
import { offlineFindings } from "../picture/findings.ts";
import { machineJson } from "../topology/json.ts";
import { machineOf, onlineText, without, type MachineParts } from "./machine.ts";

/** sysfs tells nobody of a change; its one line is read this often. */
const EVERY_MS = 1000;
/** A reading that is not whole is done again at once, so often: most of a hotplug is over in milliseconds. */
const AT_ONCE = 2;
const AGAIN_MS = [100, 60_000] as const;
/** By then a machine that is never read whole is taken as it can be read. */
const WHOLE_WITHIN_MS = 5000;

/** The machine as it is now: CPUs go offline and come back while the driver runs. Claims keep theirs, whatever happens to them. */
export class LiveMachine {
  readonly #settings: DriverSettings;
  readonly #ledger: Ledger;
  readonly #log: LogWriter;
  readonly #onChange: (text: string) => void;
  readonly #now: () => number;
  #parts: MachineParts;
  #said = "";
  /** The machine changed, and was not read again since. */
  #settling = false;
  /** Since the last reading that was whole. */
  #missing: { why: string; readonly sinceMs: number; isTaken: boolean; nextMs: number } | undefined;
  readonly #backoff = new Backoff(...AGAIN_MS);
  readonly #sure = Promise.withResolvers<void>();

  /** @throws TopologyFault, OverlayFault */
  constructor(
    settings: DriverSettings,
    ledger: Ledger,
    log: LogWriter,
    onChange: (text: string) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#now = now;
    this.#settings = settings;
    this.#ledger = ledger;
    this.#log = log;
    this.#onChange = onChange;
    const parts = this.#read();
    this.#parts = this.#judged(parts) ?? parts;
    this.#tellProblems([]);
  }

  /** Once the machine was read whole, or is taken as it can be read. Nothing is to be published before. */
  get sure(): Promise<void> {
    return this.#sure.promise;
  }

  /** As of the last look. */
  get parts(): MachineParts {
    return this.#parts;
  }

  /** As of now; before CPUs are given away. @param again also where the same CPUs are online. */
  look(again = false): MachineParts {
    const whole = again || this.#missing?.isTaken === false;
    const before = this.#parts;
    const was = before.machine.online.toString();
    try {
      const online = onlineText(this.#settings)?.trim();
      if (online === undefined) return before;
      if (online === was && !whole) {
        this.#said = "";
        return before;
      }
      const read = this.#read();
      const now = this.#judged(read) ?? without(this.#settings, before, read.machine.online);
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
      const missing = this.#missing;
      const dueMs = missing === undefined ? EVERY_MS : missing.nextMs - this.#now();
      await pause(Math.min(EVERY_MS, Math.max(AGAIN_MS[0], dueMs)), signal);
      this.look(whole || (missing !== undefined && this.#now() >= missing.nextMs));
      if (missing !== undefined && this.#isOver(missing)) this.#sure.resolve();
    }
    this.#sure.resolve();
  }

  #isOver({ sinceMs }: { readonly sinceMs: number }): boolean {
    return this.#now() - sinceMs >= WHOLE_WITHIN_MS;
  }

  #read(): MachineParts {
    let read = machineOf(this.#settings);
    for (let n = 0; n < AT_ONCE && read.missed !== ""; n++) read = machineOf(this.#settings);
    return read;
  }

  /** One failed read is no smaller machine. @returns `undefined` where the machine is to be taken as it was, and read again. */
  #judged(read: MachineParts): MachineParts | undefined {
    const why = read.missed;
    if (why === "") {
      if (this.#missing !== undefined) this.#log.info("the machine was read whole again");
      this.#missing = undefined;
      this.#backoff.reset();
      this.#sure.resolve();
      return read;
    }
    const nowMs = this.#now();
    if (this.#missing === undefined || (this.#missing.isTaken && this.#missing.why !== why)) {
      this.#backoff.reset();
      this.#missing = { why: "", sinceMs: nowMs, isTaken: false, nextMs: nowMs };
    }
    const missing = this.#missing;
    if (missing.why !== why) this.#log.warn("the machine could not be read whole; it is read again", { cause: why });
    missing.why = why;
    if (nowMs >= missing.nextMs) missing.nextMs = nowMs + this.#backoff.nextMs();
    if (!missing.isTaken && this.#isOver(missing)) {
      missing.isTaken = true;
      this.#log.warn("the machine is taken as it can be read", { cause: why });
      this.#sure.resolve();
    }
    return missing.isTaken ? read : undefined;
  }

  #tellProblems(known: readonly string[]): void {
    for (const problem of this.#parts.plan.problems)
      if (!known.includes(problem)) this.#log.warn(problem, { code: CODES.machineUnclear.id });
  }
}

function textOf({ machine, plan }: MachineParts): string {
  return JSON.stringify([machineJson(machine), plan.devices]);
}
