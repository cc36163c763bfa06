import { create } from "@bufbuild/protobuf";
import type { Enforcer } from "@dracpu/nri-agent/enforce/enforcer.ts";
import type { AgentMemory, Levers } from "@dracpu/nri-agent/enforce/ports.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Event } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import type { State } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { ContainerUpdate } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { Ring } from "@dracpu/shared-proto/observe/ring.ts";
import { AgentHand } from "./agenthand.ts";
import { enforcerOn } from "./enforcer.ts";
import { ManualClock } from "./manualclock.ts";
import { cdiOf, PlayedDriver, type PlayedClaim } from "./playeddriver.ts";
import { PartitionModel } from "./partitionmodel.ts";
import { PlayedRuntime, type PlayedContainer, type PlayedPod } from "./playedruntime.ts";

/** What the other side of a call sees when the agent dies over it. */
export class AgentDied extends Error {
  override readonly name = "AgentDied";
}

/**
 * A node with one agent, all in this process and on a clock that a test moves: the kernel's cpusets (`partitionmodel.ts`), a runtime
 * (`playedruntime.ts`), a driver's words, and the enforcer itself, which is real.
 */
export class PlayedNode extends PlayedDriver {
  readonly kernel: PartitionModel;
  readonly runtime: PlayedRuntime;
  clock = new ManualClock();
  ring = new Ring<Event>(256);
  readonly counts: Record<string, number> = {};
  readonly warnings: string[] = [];
  readonly online: CpuSet;
  readonly reserved: string;
  levers: Levers;
  readonly canUpdate: boolean;
  /** What the runtime does with an UpdateContainers; by default it takes it at once. */
  answer: (updates: readonly ContainerUpdate[]) => Promise<void>;
  diskFull = false;
  enforcer: Enforcer;
  /** What the agent that lives now does to cgroups. */
  hand: AgentHand;
  saved: AgentMemory | undefined;
  #machineOnline: CpuSet | undefined;

  constructor({
    lever = "kernel",
    online = "0-15",
    reserved = "",
    canUpdate = false,
  }: {
    readonly lever?: "kernel" | "file" | "runtime";
    readonly online?: string;
    readonly reserved?: string;
    readonly canUpdate?: boolean;
  } = {}) {
    super();
    this.online = CpuSet.parse(online);
    this.reserved = reserved;
    this.kernel = new PartitionModel(this.online);
    this.runtime = new PlayedRuntime(this.kernel);
    this.levers = leversOf(lever);
    this.canUpdate = canUpdate;
    this.answer = (updates) => {
      this.runtime.apply(updates);
      return Promise.resolve();
    };
    this.hand = new AgentHand(this.kernel);
    this.enforcer = this.#enforcer();
  }

  /** Agent and driver are there, and the runtime has been listed. */
  static async up(options: ConstructorParameters<typeof PlayedNode>[0] = {}): Promise<PlayedNode> {
    const node = new PlayedNode(options);
    node.enforcer.start();
    await node.replace();
    await node.connect();
    return node;
  }

  async connect(): Promise<void> {
    await this.settled(this.runtime.connect(this.enforcer.hooks));
    await this.clock.settle();
  }

  /** The agent dies where it stands. Its file, the cgroups and the runtime stay. */
  kill(): void {
    this.hand.isDead = true;
    this.runtime.disconnect(false);
    this.clock.kill();
    this.clock = new ManualClock();
  }

  /** It will die when it is about to do its n-th write from now. */
  dieAtWrite(n: number): void {
    let left = n;
    const { hand } = this;
    hand.onWrite = () => {
      left -= 1;
      if (left > 0) return;
      hand.isDead = true;
      this.runtime.disconnect(false);
    };
  }

  get isDead(): boolean {
    return this.hand.isDead;
  }

  /** A new agent on what the dead one left. */
  async start({ replace = true, file = true, lever = this.levers.force } = {}): Promise<void> {
    this.levers = leversOf(lever);
    this.enforcer = this.newLife();
    if (file && this.saved !== undefined) this.enforcer.restore(this.saved);
    this.enforcer.start();
    await this.connect();
    if (replace) await this.replace();
  }

  /** An agent that knows nothing yet and does nothing yet. */
  newLife(): Enforcer {
    this.ring = new Ring<Event>(256);
    this.hand = new AgentHand(this.kernel);
    return this.#enforcer();
  }

  setOnline(cpus: string): void {
    this.kernel.setOnline(CpuSet.parse(cpus));
    this.#machineOnline = CpuSet.parse(cpus);
  }

  state(): State {
    return this.enforcer.state(create(GetStateRequestSchema));
  }

  events(): string[] {
    return this.ring.after(0n).events.map((event) => event.message);
  }

  /** Creates a container; `claim` gives it all of that claim, or one request of it. */
  create(pod: PlayedPod | string, id: string, claim?: PlayedClaim, request?: string): PlayedContainer {
    return this.runtime.create(typeof pod === "string" ? this.runtime.pod(pod) : pod, id, {
      cdi: claim === undefined ? [] : cdiOf(claim, request),
    });
  }

  /** Starts a created one. @throws the refusal */
  async begin(one: PlayedContainer): Promise<void> {
    const started = this.runtime.start(one);
    started.catch(() => {});
    await this.clock.settle();
    await started;
    await this.clock.settle();
  }

  async run(pod: PlayedPod | string, id: string, claim?: PlayedClaim, request?: string): Promise<PlayedContainer> {
    const one = this.create(pod, id, claim, request);
    await this.clock.settle();
    await this.begin(one);
    return one;
  }

  /** It ends by itself. */
  async end(one: PlayedContainer): Promise<void> {
    this.runtime.stop(one);
    this.runtime.exit(one);
    this.runtime.remove(one);
    await this.clock.pass(600);
  }

  protected override async settled<T>(work: Promise<T>): Promise<T> {
    work.catch(() => {});
    await this.clock.settle();
    if (this.isDead) throw new AgentDied("the agent died over it");
    return work;
  }

  #enforcer(): Enforcer {
    const { clock, hand } = this;
    return enforcerOn({
      cgroup: hand,
      clock,
      levers: this.levers,
      memory: {
        save: async (memory) => {
          await clock.yield();
          if (hand.isDead) return;
          if (this.diskFull) throw new Error("Cannot write agent.json: the disk is full; free space on it");
          this.saved = memory;
        },
      },
      ring: this.ring,
      calls: { updateContainers: (updates) => this.answer(updates) },
      canUpdate: this.canUpdate,
      online: () => this.#machineOnline,
      state: () => (this.runtime.session === undefined ? "away" : "synchronized"),
      count: (name) => (this.counts[name] = (this.counts[name] ?? 0) + 1),
      warn: (message, fields) => this.warnings.push(`${message} ${JSON.stringify(fields)}`),
    });
  }
}

/** What stands against it, in its words; "accepted" where nothing does. */
export function refusal(work: () => Promise<unknown> | PlayedContainer): Promise<string> {
  return Promise.resolve()
    .then(work)
    .then(
      () => "accepted",
      (cause: unknown) => (cause as Error).message,
    );
}

function leversOf(lever: Levers["force"]): Levers {
  return {
    force: lever,
    masks: lever === "runtime" ? "runtime" : "file",
    why: lever === "kernel" ? "" : "a test",
  };
}
