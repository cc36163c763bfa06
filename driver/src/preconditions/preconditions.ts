import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { unsuits } from "@dracpu/shared-proto/codes/codes.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { within } from "@dracpu/shared-proto/lifecycle/within.ts";
import type { PrepareLog } from "../prepare/ports.ts";
import { judge } from "./judge.ts";

/** One that is asked. @throws Error with a sentence where it does not answer. */
type Ask<T> = (signal: AbortSignal) => Promise<T>;

export interface PreconditionsOptions {
  /** CPUs that the kubelet's CPU manager may give out. */
  readonly allocatable: Ask<CpuSet>;
  /** The Node's capacity less what is allocatable, in thousandths of a CPU. */
  readonly keptMilli: Ask<number>;
  /** The agent's findings, and whether it works. */
  readonly agent: Ask<{ readonly findings: readonly Finding[]; readonly isAtWork: boolean }>;
  readonly online: () => CpuSet;
  readonly reserved: CpuSet;
  readonly log: PrepareLog;
  /** What is found is another than before. */
  onChange(): void;
  /** Whoever kicks often does not make it look more often than this. */
  readonly leastMs: number;
}

const ASK_MS = 5000;
/** The Node is asked for seldom: all drivers of a cluster ask the one API server. A kubelet that starts is a reason to. */
const NODE_MS = 600_000;
/** A kubelet that has just started writes its Node's status some seconds after it asks for drivers (`nodeStatusUpdateFrequency`, 10 s). */
const SETTLES_MS = 30_000;
/** What the agent has to say becomes an Event by this. */
const AGAIN_MS = 10_000;
/** Of these looks one asks the kubelet too. */
const KUBELET_EVERY = 6;
/** While the agent has no session. */
const SOON_MS = 5000;

/** Looks whether this node can do the work at all, at the start and again and again: kubelets and runtimes are set up anew and restarted. */
export class Preconditions {
  readonly #o: PreconditionsOptions;
  #found: readonly Finding[] = [];
  #kick: () => void = () => {};
  #agent: readonly Finding[] = [];
  readonly #silent = new Map<string, string>();
  /** Whoever does not answer is as it was. */
  #allocatable: CpuSet | undefined;
  #keptMilli: number | undefined;
  #nodeAskedAt = -Infinity;
  #kubeletStartedAt = -Infinity;
  #looked: () => void = () => {};
  /** Resolves after the first look, which is bounded. */
  readonly first = new Promise<void>((resolve) => {
    this.#looked = resolve;
  });

  constructor(options: PreconditionsOptions) {
    this.#o = options;
  }

  findings(): readonly Finding[] {
    return this.#found;
  }

  /** What the agent said last of itself, and nobody else here says. */
  agentFindings(): readonly Finding[] {
    return this.#agent.filter(({ code }) => !this.#found.some((one) => one.code === code));
  }

  /** Why this node offers no CPUs and prepares no new claims; `undefined` where it does. */
  unsuited(): Finding | undefined {
    return this.#found.find(unsuits);
  }

  /** The runtime may be another than before. */
  kick(): void {
    this.#kick();
  }

  /** The kubelet may be. */
  kubeletStarted(): void {
    this.#kubeletStartedAt = performance.now();
    this.#kick();
  }

  async run(signal: AbortSignal): Promise<void> {
    let looks = 0;
    while (!signal.aborted) {
      const kicked = new AbortController();
      this.#kick = () => kicked.abort();
      const isAtWork = await this.#look(looks % KUBELET_EVERY === 0 || this.#isSettling(), signal);
      this.#looked();
      await pause(this.#o.leastMs, signal);
      await pause(isAtWork ? AGAIN_MS : SOON_MS, AbortSignal.any([signal, kicked.signal]));
      looks = isAtWork && !kicked.signal.aborted ? looks + 1 : 0;
    }
  }

  async #look(wholly: boolean, signal: AbortSignal): Promise<boolean> {
    const { allocatable, agent, online, reserved } = this.#o;
    const [cpus, kept, told] = await Promise.all([
      wholly ? this.#asked("the kubelet's CPU manager", allocatable, signal) : this.#allocatable,
      wholly
        ? this.#asked("the Node's allocatable CPUs", (bounded) => this.#askNode(bounded), signal)
        : this.#keptMilli,
      this.#asked("the NRI agent's problems", agent, signal),
    ]);
    if (signal.aborted) return true;
    this.#allocatable = cpus ?? this.#allocatable;
    this.#keptMilli = kept ?? this.#keptMilli;
    this.#agent = told?.findings ?? [];
    const found = judge({
      online: online(),
      reserved,
      allocatable: this.#allocatable,
      keptMilli: this.#keptMilli,
      agent: told?.findings ?? this.#found,
    });
    const before = this.#found;
    this.#found = found;
    const news = found.filter((one) => !before.some((other) => isSame(one, other)));
    for (const one of news) this.#o.log.warn(one.text, { code: one.code.id });
    const gone = before.filter((one) => !found.some((other) => other.code === one.code));
    for (const one of gone) this.#o.log.info("no longer found", { what: one.code.title, code: one.code.id });
    if (news.length > 0 || gone.length > 0) this.#o.onChange();
    return told?.isAtWork ?? false;
  }

  async #askNode(signal: AbortSignal): Promise<number | undefined> {
    const now = performance.now();
    if (now - this.#nodeAskedAt < NODE_MS && !this.#isSettling()) return this.#keptMilli;
    const kept = await this.#o.keptMilli(signal);
    this.#nodeAskedAt = now;
    return kept;
  }

  #isSettling(): boolean {
    return performance.now() - this.#kubeletStartedAt < SETTLES_MS;
  }

  /** What cannot be asked is not known, and said once for each reason. */
  async #asked<T>(what: string, ask: Ask<T>, signal: AbortSignal): Promise<T | undefined> {
    try {
      const answer = await within(ASK_MS, [signal], ask);
      this.#silent.delete(what);
      return answer;
    } catch (cause) {
      const why = (cause as Error).message;
      if (!signal.aborted && this.#silent.get(what) !== why)
        this.#o.log.info("not known, and looked at again later", { what, why });
      this.#silent.set(what, why);
      return undefined;
    }
  }
}

function isSame(one: Finding, other: Finding): boolean {
  return one.code === other.code && one.text === other.text;
}
