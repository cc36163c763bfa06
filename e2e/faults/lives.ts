import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Daemon } from "../kit/node/processes.ts";
import { Seam } from "../kit/seam/seam.ts";
import type { Span } from "./judge.ts";
import { now } from "./observer.ts";
import { awayBy } from "./sessions.ts";

export type Program = "driver" | "agent";
export const PROGRAMS: readonly Program[] = ["driver", "agent"];

/** Both programs' lives: whichever dies is started again at once, as a kubelet does, and it is noted when the agent was not there. */
export class Lives {
  readonly deaths: Record<Program, number> = { driver: 0, agent: 0 };
  readonly seams: Readonly<Record<Program, Seam>>;
  readonly #start: (which: Program) => Daemon;
  readonly #daemons: { [which in Program]?: Daemon } = {};
  readonly #between: { [which in Program]?: (() => unknown) | undefined } = {};
  readonly #next: { [which in Program]?: Promise<void> } = {};
  readonly #lost: number[] = [];
  readonly #still: Span[] = [];
  #goesOn = true;

  /** @param dir for the files of the seams. @param start starts a program with its seam's environment. */
  constructor(dir: string, start: (which: Program) => Daemon) {
    this.seams = { driver: new Seam(join(dir, "driver.seam")), agent: new Seam(join(dir, "agent.seam")) };
    this.#start = start;
  }

  start(which: Program): void {
    const daemon = this.#start(which);
    this.#daemons[which] = daemon;
    this.#next[which] = daemon.exited.then(async () => {
      this.deaths[which] += 1;
      if (which === "agent") this.lost();
      this.seams[which].disarm();
      const between = this.#between[which];
      this.#between[which] = undefined;
      await between?.();
      if (this.#goesOn) this.start(which);
    });
  }

  daemon(which: Program): Daemon {
    const daemon = this.#daemons[which];
    if (daemon === undefined) throw new Error(`the ${which} was not started`);
    return daemon;
  }

  /** Resolves when its next life begins. @param between what comes before that. */
  async kill(which: Program, between?: () => unknown, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#between[which] = between;
    const next = this.#next[which];
    this.daemon(which).signal(signal);
    await next;
  }

  /** Stands still for a while. */
  async still(which: Program, ms: number): Promise<void> {
    const daemon = this.daemon(which);
    const from = now();
    daemon.signal("SIGSTOP");
    await sleep(ms);
    daemon.signal("SIGCONT");
    if (which === "agent") this.#still.push({ from, to: now() });
  }

  /** The session of agent and runtime ends now, by somebody else. */
  lost(): void {
    this.#lost.push(now());
  }

  /** @param log of the runtime. */
  away(log: string): Span[] {
    return awayBy(log, this.#lost, this.#still);
  }

  async end(): Promise<void> {
    this.#goesOn = false;
    for (const which of PROGRAMS) {
      this.seams[which].disarm();
      await this.#daemons[which]?.stop();
      this.seams[which].close();
    }
  }
}
