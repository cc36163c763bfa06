import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { GetStateRequest } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import type { State } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { MarkNames } from "../truth/marks.ts";
import type { Pool } from "../pool/pool.ts";
import { Waiters } from "./awaiting.ts";
import { ClaimStart } from "./claimstart.ts";
import type { ControlHandler, InspectHandler } from "./contract.ts";
import { FailedCreations } from "./failedcreations.ts";
import { ForeignLoad } from "./foreignload.ts";
import { HookHandler } from "./hookhandler.ts";
import type { RuntimeCalls, RuntimeHooks, Session, SessionFacts } from "./hooks.ts";
import { Ledger, type AgentIdentity } from "./ledger.ts";
import { MaskMover } from "./mover.ts";
import { NarrowThreads } from "./narrowthreads.ts";
import { NodeKnowledge } from "./node.ts";
import { Partitioner } from "./partitioner.ts";
import type { EnforcerParts } from "./parts.ts";
import type {
  AgentMemory,
  CgroupPort,
  Clock,
  EventRing,
  Levers,
  MachinePort,
  MemoryPort,
  Observer,
  ThreadsPort,
  UsagePort,
} from "./ports.ts";
import { checkPartitions } from "./holding.ts";
import { Reaper } from "./reaper.ts";
import { Sayings } from "./sayings.ts";
import { classify, synchronize } from "./synchronize.ts";
import { RuntimeUpdates } from "./updates.ts";
import { Verifier } from "./verifier.ts";
import { UnusedClaims } from "./unusedclaims.ts";
import { problemsOf, stateOf, type SessionReport, type Tally } from "./view.ts";

export interface EnforcerOptions {
  readonly cgroup: CgroupPort;
  readonly machine: MachinePort;
  readonly levers: Levers;
  readonly memory: MemoryPort;
  readonly usage: UsagePort;
  readonly threads: ThreadsPort;
  /** Of one CPU: from how much foreign work on a claim's CPUs on people are told; 0 for never. */
  readonly foreignLoad: number;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly events: EventRing;
  readonly calls: RuntimeCalls;
  readonly names: MarkNames;
  readonly identity: AgentIdentity;
  /** uid of this product's own pod; "" outside of one. */
  readonly ownPodUid: string;
  factsOf(session: Session): SessionFacts;
  session(): SessionReport;
  tally(): Tally;
}

/**
 * The agent's decisions: holds what is known, answers the runtime's hooks and the driver's calls, and sees to it that the kernel
 * follows. Constructing starts nothing; `restore` comes first, then `start`.
 */
export class Enforcer implements ControlHandler, InspectHandler {
  readonly events: EventRing;
  readonly hooks: RuntimeHooks;
  readonly #options: EnforcerOptions;
  readonly #node: NodeKnowledge;
  readonly #parts: EnforcerParts;
  readonly #ledger: Ledger;
  readonly #waiters: Waiters;
  readonly #verifier: Verifier;
  /** The shared pool changed, and not everybody is where it should be. */
  #movingSince: number | undefined;
  #lastPool: Pool | undefined;
  #isTelling = false;

  constructor(options: EnforcerOptions) {
    this.#options = options;
    this.events = options.events;
    const { cgroup, machine, clock, observer, names, ownPodUid } = options;
    const node = new NodeKnowledge(options.levers);
    this.#node = node;
    const say = new Sayings(node, options.events, observer);
    const changed = (): void => this.#changed();
    const updates: RuntimeUpdates = new RuntimeUpdates({
      node,
      clock,
      observer,
      calls: options.calls,
      onSend: (container) => {
        this.#verifier.check(container);
        checkPartitions(this.#parts, (one) => one === container);
      },
      onAnswer: (containers) => {
        for (const container of containers) mover.doubt(container);
      },
    });
    const mover: MaskMover = new MaskMover({
      node,
      cgroup,
      clock,
      observer,
      updates,
      onMoved: changed,
      onVanished: () => reaper.expect(),
    });
    const partitions = new Partitioner({ node, cgroup, observer });
    const claimStart = new ClaimStart({ node, cgroup, mover, partitions, observer });
    const reaper: Reaper = new Reaper({
      node,
      cgroup,
      partitions,
      clock,
      onGone: (containers) => {
        this.#parts.unused.ended(containers);
        mover.refresh();
        changed();
      },
    });
    this.#parts = {
      node,
      cgroup,
      machine,
      clock,
      observer,
      mover,
      updates,
      partitions,
      claimStart,
      reaper,
      say,
      failed: new FailedCreations(clock),
      foreign: new ForeignLoad(node, options.usage, cgroup, options.foreignLoad),
      narrow: new NarrowThreads(node, options.threads),
      unused: new UnusedClaims(node, clock),
      changed,
      classify: (pod, container, cdiVisible) =>
        classify({ node, say, clock }, names, ownPodUid, pod, container, cdiVisible),
    };
    this.#ledger = new Ledger(this.#parts, options.memory, options.identity);
    this.#waiters = new Waiters({ node, clock, canUpdate: () => updates.canUpdate, identity: options.identity });
    this.#verifier = new Verifier(this.#parts);
    this.hooks = new HookHandler(this.#parts, {
      names,
      ownPodUid,
      factsOf: options.factsOf,
      synchronize: (pods, containers, cdiVisible) => synchronize(this.#parts, pods, containers, cdiVisible),
    });
  }

  /** What the agent's own file holds. Believed until a driver speaks. */
  restore(memory: AgentMemory): void {
    const node = this.#node;
    node.told = memory.machine;
    node.online = this.#options.machine.online();
    node.truth = memory.machine === undefined ? "none" : "restored";
    Object.assign(node.held, {
      epoch: memory.epoch,
      revision: memory.revision,
      digest: memory.digest,
      highestEpoch: memory.highestEpoch,
    });
    for (const allocation of memory.allocations) node.allocations.set(allocation.claim.uid, allocation);
    for (const orphan of memory.orphans) node.orphans.set(orphan.claim.uid, orphan);
    this.#parts.say.truth(`Restored ${node.allocations.size} claims from the agent's own file`);
  }

  start(): void {
    this.#verifier.start();
  }

  stop(): void {
    this.#waiters.stop();
    this.#verifier.stop();
    this.#parts.mover.stop();
    this.#parts.updates.stop();
    this.#parts.reaper.stop();
  }

  hello: ControlHandler["hello"] = (request) => this.#ledger.hello(request, this.#options.session());
  replace: ControlHandler["replace"] = (request) => this.#ledger.replace(request);
  apply: ControlHandler["apply"] = async (request) => {
    const response = await this.#ledger.apply(request);
    response.enforced = this.#waiters.enforced(request.upserts.map(({ claim }) => claim?.uid ?? ""));
    return response;
  };
  await: ControlHandler["await"] = (request, signal) => this.#waiters.await(request, signal);

  state(filter: GetStateRequest): State {
    const { identity, clock } = this.#options;
    return stateOf(
      this.#node,
      {
        instance: identity.instance,
        version: identity.version,
        session: this.#options.session(),
        tally: this.#options.tally(),
        others: this.#others(),
        lastSeq: this.events.lastSeq,
        now: clock.unix(),
      },
      filter,
    );
  }

  /** Containers that the kernel may run on CPUs which they should not have. */
  mismatched(): number {
    return [...this.#node.containers.values()].filter((one) => this.#node.isTooWide(one)).length;
  }

  /** All that people should know of; empty where all is well. */
  problems(): Finding[] {
    return problemsOf(this.#node, this.#options.session(), this.#others());
  }

  #others(): Finding[] {
    const { failed, foreign, narrow, unused } = this.#parts;
    return [...failed.findings(), ...foreign.findings(), ...narrow.findings(), ...unused.findings()];
  }

  /** Of these, all but a pool that overlaps claims: it is so by the node's settings, and nothing to wait for. */
  saysOfItself(): Finding[] {
    return this.problems().filter(({ code }) => code !== CODES.poolOverlaps);
  }

  /** Whoever waits looks again, once a turn however much has changed in it: a hook does not wait for them. */
  #changed(): void {
    if (this.#isTelling) return;
    this.#isTelling = true;
    void this.#options.clock.yield().then(() => {
      this.#isTelling = false;
      this.#tell();
    });
  }

  #tell(): void {
    this.#ledger.forgetDrained();
    const pool = this.#node.truth === "none" ? undefined : this.#node.pool();
    if (pool !== undefined && (this.#lastPool === undefined || !pool.shared.equals(this.#lastPool.shared))) {
      this.#lastPool = pool;
      this.#parts.say.pool(pool);
      this.#movingSince ??= this.#options.clock.now();
    }
    if (this.#movingSince !== undefined && this.mismatched() === 0) {
      this.#options.observer.moved(this.#options.clock.now() - this.#movingSince);
      this.#movingSince = undefined;
    }
    this.#waiters.wake();
  }
}
