import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Enforcer } from "@dracpu/nri-agent/enforce/enforcer.ts";
import type { AgentMemory, Levers } from "@dracpu/nri-agent/enforce/ports.ts";
import * as names from "@dracpu/shared-proto/contract/names.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import {
  ApplyRequestSchema,
  AwaitRequestSchema,
  ReplaceRequestSchema,
  type ClaimProgress,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import type { Event } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import {
  AllocationState,
  type AllocationSchema,
  type State,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { ContainerUpdate } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { Ring } from "@dracpu/shared-proto/observe/ring.ts";
import { AgentHand } from "./agenthand.ts";
import { enforcerOn } from "./enforcer.ts";
import { ManualClock } from "./manualclock.ts";
import { PartitionModel } from "./partitionmodel.ts";
import { PlayedRuntime, type PlayedContainer, type PlayedPod } from "./playedruntime.ts";

/** What the other side of a call sees when the agent dies over it. */
export class AgentDied extends Error {
  override readonly name = "AgentDied";
}

export interface PlayedClaim {
  readonly uid: string;
  /** CPUs by request. */
  readonly shares: Readonly<Record<string, string>>;
  /** uids of pods. */
  readonly pods: readonly string[];
  readonly isolated: boolean;
  readonly idle: string;
  state: "prepared" | "draining";
}

/**
 * A node with one agent, all in this process and on a clock that a test moves: the kernel's cpusets (`partitionmodel.ts`), a runtime
 * (`playedruntime.ts`), a driver's words, and the enforcer itself, which is real.
 */
export class PlayedNode {
  readonly kernel: PartitionModel;
  readonly runtime: PlayedRuntime;
  clock = new ManualClock();
  ring = new Ring<Event>(256);
  readonly counts: Record<string, number> = {};
  readonly warnings: string[] = [];
  readonly online: CpuSet;
  readonly reserved: string;
  levers: Levers;
  readonly claims = new Map<string, PlayedClaim>();
  readonly canUpdate: boolean;
  /** What the runtime does with an UpdateContainers; by default it takes it at once. */
  answer: (updates: readonly ContainerUpdate[]) => Promise<void>;
  diskFull = false;
  enforcer: Enforcer;
  /** What the agent that lives now does to cgroups. */
  hand: AgentHand;
  saved: AgentMemory | undefined;
  #machineOnline: CpuSet | undefined;
  #epoch = 0n;
  #revision = 0n;
  #named = 0;

  constructor({
    lever = "kernel" as "kernel" | "file" | "runtime",
    online = "0-15",
    reserved = "",
    canUpdate = false,
  } = {}) {
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
    await this.#settled(this.runtime.connect(this.enforcer.hooks));
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
    this.ring = new Ring<Event>(256);
    this.hand = new AgentHand(this.kernel);
    this.enforcer = this.#enforcer();
    if (file && this.saved !== undefined) this.enforcer.restore(this.saved);
    this.enforcer.start();
    await this.connect();
    if (replace) await this.replace();
  }

  setOnline(cpus: string): void {
    this.kernel.setOnline(CpuSet.parse(cpus));
    this.#machineOnline = CpuSet.parse(cpus);
  }

  /** The driver gives the whole truth, as a new one does. */
  async replace(): Promise<void> {
    this.#epoch += 1n;
    this.#revision = 1n;
    const request = create(ReplaceRequestSchema, {
      epoch: this.#epoch,
      revision: this.#revision,
      machine: {
        online: this.online.toString(),
        present: this.online.toString(),
        reserved: this.reserved,
        bootId: "boot",
      },
      allocations: [...this.claims.values()].map(allocation),
    });
    await this.#settled(this.enforcer.replace(request));
  }

  /** A claim of these pods is prepared, and told to the agent. */
  async claim(
    shares: Readonly<Record<string, string>>,
    pods: readonly string[],
    { isolated = false, idle = "" } = {},
  ): Promise<PlayedClaim> {
    this.#named += 1;
    const uid = `${String(this.#named).padStart(8, "0")}-0000-4000-8000-000000000000`;
    const claim: PlayedClaim = { uid, shares, pods, isolated, idle, state: "prepared" };
    this.claims.set(uid, claim);
    try {
      await this.apply({ upserts: [claim] });
    } catch (cause) {
      this.claims.delete(uid);
      throw cause;
    }
    return claim;
  }

  async apply({
    upserts = [],
    removals = [],
  }: {
    upserts?: readonly PlayedClaim[];
    removals?: readonly string[];
  }): Promise<void> {
    const request = create(ApplyRequestSchema, {
      epoch: this.#epoch,
      baseRevision: this.#revision,
      revision: this.#revision + 1n,
      upserts: upserts.map(allocation),
      removals: [...removals],
    });
    await this.#settled(this.enforcer.apply(request));
    this.#revision += 1n;
  }

  /** Unprepares a claim: its CPUs drain. */
  async release(claim: PlayedClaim): Promise<void> {
    claim.state = "draining";
    await this.apply({ upserts: [claim] });
  }

  /** The driver forgets a claim; where it was drained, its CPUs may be another's. */
  async forget(claim: PlayedClaim): Promise<void> {
    this.claims.delete(claim.uid);
    await this.apply({ removals: [claim.uid] });
  }

  async progress(claim: PlayedClaim): Promise<ClaimProgress> {
    const request = create(AwaitRequestSchema, { epoch: this.#epoch, revision: this.#revision, claims: [claim.uid] });
    const { claims } = await this.enforcer.await(request, new AbortController().signal);
    const [found] = claims;
    if (found === undefined) throw new Error("no progress");
    return found;
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

  async #settled<T>(work: Promise<T>): Promise<T> {
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

function leversOf(lever: Levers["force"]): Levers {
  return {
    force: lever,
    masks: lever === "runtime" ? "runtime" : "file",
    why: lever === "kernel" ? "" : "a test",
  };
}

export function cdiOf(claim: PlayedClaim, request?: string): string[] {
  const requests = request === undefined ? Object.keys(claim.shares) : [request];
  return requests.map((name) => `${names.CDI_KIND}=${names.cdiDeviceName(claim.uid, name)}`);
}

export function cpusOf(claim: PlayedClaim): CpuSet {
  return CpuSet.union(Object.values(claim.shares).map((text) => CpuSet.parse(text)));
}

function allocation(claim: PlayedClaim): MessageInitShape<typeof AllocationSchema> {
  return {
    claim: { uid: claim.uid, namespace: "default", name: `claim-${claim.uid.slice(4, 8)}` },
    state: claim.state === "prepared" ? AllocationState.PREPARED : AllocationState.DRAINING,
    consumers: claim.pods.map((uid) => ({ resource: "pods", uid, name: uid })),
    shares: Object.entries(claim.shares).map(([request, cpus]) => ({ request, pool: "n", device: "d", cpus })),
    idle: claim.idle,
    isolated: claim.isolated,
  };
}
