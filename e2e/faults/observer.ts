import { spawn, type ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** What a look at a container found that the look before had not. */
export interface Seen {
  /** Of this look, and of the one before: what was seen before held at least until then. Milliseconds as {@link now}. */
  readonly t: number;
  readonly last: number;
  readonly podUid: string;
  /** The runtime's. */
  readonly container: string;
  /** CPUs of its cgroup that are in effect; "" where the cgroup is gone. */
  readonly cpus: string;
  /** `Cpus_allowed_list` of its processes, without those that runc still prepares. None: nothing of it runs. */
  readonly allowed: readonly string[];
  /** What those processes are. */
  readonly commands: readonly string[];
  /** The pod's sandbox, which uses no CPU and is in no runtime's list. */
  readonly isSandbox: boolean;
}

/** Where a thread that is in no pod might run, by every look that began between `from` and `to`. */
export interface Stranger {
  readonly from: number;
  readonly to: number;
  readonly tid: number;
  readonly command: string;
  readonly allowed: string;
}

export interface Recording {
  readonly seen: readonly Seen[];
  readonly strangers: readonly Stranger[];
  /** When each look at strangers began and ended. */
  readonly strangerLooks: readonly { readonly from: number; readonly to: number }[];
  /** Spans in which the observer itself did not get to look. */
  readonly stalls: readonly { readonly from: number; readonly to: number }[];
  readonly looks: number;
  /** When it began and when it wrote down last. */
  readonly begin: number;
  readonly end: number;
}

/** The clock of recordings: the machine's monotonic one, the same in every process. Milliseconds. */
export function now(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000;
}

/**
 * Looks at cgroups and processes of pods from outside, in a process of its own that knows nothing of this product: at every change of a cpuset
 * file (inotify), and 40 times a second besides.
 */
export class Observer {
  readonly #out: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<number | null>;

  /**
   * @param root of the pods in the cpuset hierarchy, such as `/sys/fs/cgroup/cpuset/kubepods`; it need not be there yet.
   * @param strangers whether threads outside of it are recorded too. @param program of its process.
   */
  constructor(
    root: string,
    out: string,
    { strangers = false, program = join(import.meta.dirname, "looking.ts") } = {},
  ) {
    this.#out = out;
    this.#child = spawn(process.execPath, [program, root, out, strangers ? "strangers" : ""], {
      stdio: ["pipe", "inherit", "inherit"],
    });
    this.#ended = new Promise((resolve) => {
      this.#child.on("exit", resolve);
    });
  }

  /** It has looked once. */
  async started(): Promise<void> {
    for (let n = 0; !this.#text().includes('"begin"'); n++) {
      if (n > 500) throw new Error("the observer did not start");
      await sleep(20);
    }
  }

  /** What was seen so far. */
  recording(): Recording {
    const seen: Seen[] = [];
    const strangers: Stranger[] = [];
    const strangerLooks: { from: number; to: number }[] = [];
    const stalls: { from: number; to: number }[] = [];
    let [begin, looks, end] = [0, 0, 0];
    const whole = this.#text();
    for (const line of whole.slice(0, whole.lastIndexOf("\n")).split("\n")) {
      if (line === "") continue;
      const one = JSON.parse(line) as { kind: string } & Record<string, unknown>;
      if (one.kind === "seen") seen.push(one as unknown as Seen);
      else if (one.kind === "stranger") strangers.push(one as unknown as Stranger);
      else if (one.kind === "strangers") strangerLooks.push(one as unknown as { from: number; to: number });
      else if (one.kind === "stall") stalls.push(one as unknown as { from: number; to: number });
      else if (one.kind === "begin") begin = one["t"] as number;
      else if (one.kind === "tally") [looks, end] = [one["looks"] as number, one["t"] as number];
    }
    return { seen, strangers, strangerLooks, stalls, looks, begin, end };
  }

  /** Ends it. @returns all that it saw. */
  async stop(): Promise<Recording> {
    this.#child.stdin?.end();
    const status = await this.#ended;
    if (status !== 0) throw new Error(`the observer ended with ${String(status)}`);
    return this.recording();
  }

  #text(): string {
    try {
      return readFileSync(this.#out, "utf8");
    } catch {
      return "";
    }
  }
}
