import { create } from "@bufbuild/protobuf";
import { digestOf } from "@dracpu/shared-proto/contract/digest.ts";
import { allocationInit, machineToWire } from "@dracpu/shared-proto/contract/wire.ts";
import {
  ClaimProgressSchema,
  Progress,
  type ClaimProgress,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import type { Allocation } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { PROTOCOL_MAX, PROTOCOL_MIN } from "@dracpu/shared-proto/contract/names.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { Backoff, pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { within } from "@dracpu/shared-proto/lifecycle/within.ts";
import { toAllocation, type Entry } from "../ledger/ledger.ts";
import { before } from "./before.ts";
import { AgentFault, type AgentLinkOptions, type LinkState } from "./ports.ts";

const CALL_MS = 5000;
/** One Await is held by the agent at most this long; then the state is looked at anew. */
const AWAIT_MS = 5000;

/**
 * Keeps the agent's claims equal to the ledger. The ledger is the truth: whatever goes wrong on the way ends in Hello and Replace. One
 * change is under way at a time; claims that change meanwhile share the next.
 */
export class AgentLink {
  readonly #o: AgentLinkOptions;
  readonly #sent = new Map<string, Entry>();
  /** Entries that the agent refuses, with its sentence: they are left out until they change or are asked for again. */
  readonly #refused = new Map<string, { readonly entry: Entry; readonly why: string }>();
  /** Claims of the last change that the agent called enforced with its answer, until somebody asks of them. */
  #enforced = new Set<string>();
  #epoch = 0n;
  #revision = 0n;
  #agentInstance = "";
  #fresh = true;
  /** Newest event seen, of the agent whose instance stands beside it. */
  #seen = { instance: "", seq: 0n };
  #pushing: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #state: LinkState = { connected: false, why: "not connected yet", agentVersion: "", nri: undefined };

  constructor(options: AgentLinkOptions) {
    this.#o = options;
  }

  state(): LinkState {
    return this.#state;
  }

  /** Follows the agent's events and comes back for ever. */
  async run(signal: AbortSignal): Promise<void> {
    const backoff = new Backoff(100, 2000);
    let said = "";
    while (!signal.aborted) {
      try {
        this.#fresh = true;
        await this.push(signal);
        said = "";
        backoff.reset();
        this.#o.log.info("the NRI agent holds this node's claims", {
          version: this.#state.agentVersion,
          epoch: String(this.#epoch),
        });
        await this.#follow(signal);
      } catch (cause) {
        const told = (cause as Error).message;
        const why =
          cause instanceof AgentFault
            ? `no connection to the NRI agent: ${told}`
            : `the NRI agent cannot be told of this node's claims: ${told}`;
        if (why !== said && !signal.aborted) this.#o.log.warn(`${why}; trying again`);
        said = why;
        this.#state = { ...this.#state, connected: false, why };
        await pause(backoff.nextMs(), signal);
      }
    }
  }

  /**
   * Resolves when the agent holds a ledger at least as new as now. The work is shared and bounded by itself; `signal` ends this wait alone.
   * @throws AgentFault
   */
  async push(signal: AbortSignal): Promise<void> {
    const shared = this.#share();
    // Whoever else waits for it is told too; nobody has to.
    shared.catch(() => {});
    await before(signal, shared);
  }

  #share(): Promise<void> {
    if (this.#pushing === undefined) {
      this.#pushing = within(CALL_MS, [], (signal) => this.#push(signal)).finally(() => {
        this.#pushing = undefined;
      });
      return this.#pushing;
    }
    this.#next ??= this.#pushing
      .catch(() => {
        // Told to those who waited for that change; the next one is tried anew.
      })
      .then(() => {
        this.#next = undefined;
        return this.#share();
      });
    return this.#next;
  }

  /** The machine is another: the agent is told all anew. */
  machineChanged(signal: AbortSignal): void {
    this.#fresh = true;
    // Where the agent is away, it learns it when it is back.
    this.push(signal).catch(() => {});
  }

  /**
   * How far a claim is, asked of the agent for at most `ms`, after it holds the ledger as of now.
   * @throws AgentFault
   */
  progress(uid: string, ms: number, signal: AbortSignal): Promise<ClaimProgress> {
    return this.#progress(uid, ms, signal, true);
  }

  async #progress(uid: string, ms: number, signal: AbortSignal, mayAdopt: boolean): Promise<ClaimProgress> {
    this.#refused.delete(uid);
    // What was said before this call may be true no more.
    this.#enforced.delete(uid);
    await this.push(signal);
    const refused = this.#refused.get(uid);
    if (refused !== undefined) throw new AgentFault("refused", refused.why);
    if (this.#enforced.has(uid)) return create(ClaimProgressSchema, { claimUid: uid, progress: Progress.ENFORCED });
    try {
      const request = {
        epoch: this.#epoch,
        revision: this.#revision,
        claims: [uid],
        timeoutMs: Math.min(ms, AWAIT_MS),
      };
      const answer = await within(ms + CALL_MS, [signal], (bounded) => this.#o.agent.await(request, bounded));
      if (answer.agentInstance !== this.#agentInstance) this.#fresh = true;
      for (const one of answer.kept) this.#o.adoptHeld(one);
      if (answer.kept.length > 0 && mayAdopt) return await this.#progress(uid, ms, signal, false);
      const found = answer.claims.find((claim) => claim.claimUid === uid);
      if (found === undefined) throw new AgentFault("refused", "the NRI agent did not answer for the claim");
      return found;
    } catch (cause) {
      if (cause instanceof AgentFault && cause.code === "stale") this.#fresh = true;
      throw cause;
    }
  }

  /** What the agent refuses is left out, claim by claim, so that one bad entry never keeps the others from it. */
  async #push(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        // What the ledger took over from the agent is told at once.
        if (!(await this.#pushOnce(signal)) || !(await this.#pushOnce(signal))) return;
      } catch (cause) {
        if (!(cause instanceof AgentFault) || cause.code !== "refused") throw cause;
        const named = this.#wanted().filter(({ claim }) => cause.claims.includes(claim.uid));
        if (named.length === 0) throw cause;
        for (const entry of named) {
          this.#refused.set(entry.claim.uid, { entry, why: cause.message });
          this.#o.log.error("the NRI agent refuses a claim; the others go on without it", {
            claim: `${entry.claim.namespace}/${entry.claim.name}`,
            claimUID: entry.claim.uid,
            cause: cause.message,
          });
        }
        this.#fresh = true;
      }
    }
  }

  /** The ledger without what the agent has refused as it is. */
  #wanted(): Entry[] {
    return this.#o.ledger.entries().filter((entry) => this.#refused.get(entry.claim.uid)?.entry !== entry);
  }

  /** @returns whether the agent keeps claims otherwise. */
  async #pushOnce(signal: AbortSignal): Promise<boolean> {
    if (!this.#fresh) {
      try {
        return await this.#apply(signal);
      } catch (cause) {
        if (!(cause instanceof AgentFault) || cause.code !== "stale") throw cause;
      }
    }
    return this.#replace(signal);
  }

  async #apply(signal: AbortSignal): Promise<boolean> {
    const now = new Map(this.#wanted().map((entry) => [entry.claim.uid, entry]));
    const upserts = [...now.values()].filter((entry) => this.#sent.get(entry.claim.uid) !== entry);
    const removals = [...this.#sent.keys()].filter((uid) => !now.has(uid));
    if (upserts.length === 0 && removals.length === 0) return false;
    const revision = this.#revision + 1n;
    const said = await this.#o.agent.apply(
      {
        epoch: this.#epoch,
        baseRevision: this.#revision,
        revision,
        upserts: upserts.map((entry) => allocationInit(toAllocation(entry))),
        removals,
        digest: digestOf([...now.values()].map(toAllocation)),
      },
      signal,
    );
    return this.#accepted(now, revision, said);
  }

  async #replace(signal: AbortSignal): Promise<boolean> {
    const hello = await this.#o.agent.hello(
      {
        driverInstance: this.#o.instance,
        driverVersion: VERSION,
        protocolMin: PROTOCOL_MIN,
        protocolMax: PROTOCOL_MAX,
      },
      signal,
    );
    if (hello.protocol === 0) {
      throw new AgentFault(
        "protocol",
        `the NRI agent ${hello.agentVersion} speaks protocol ${hello.protocolMin} to ${hello.protocolMax} and this driver ${VERSION} speaks ${PROTOCOL_MIN} to ${PROTOCOL_MAX}; upgrade the older one`,
      );
    }
    this.#o.onAgentMemory(hello.allocations);
    const own = this.#o.epoch.get();
    const epoch =
      this.#epoch >= hello.highestEpoch && this.#epoch > 0n
        ? this.#epoch
        : (own > hello.highestEpoch ? own : hello.highestEpoch) + 1n;
    if (epoch !== this.#epoch) {
      // Durable before it is used: a driver that starts after this one has to take a higher one.
      await this.#o.epoch.set(epoch);
      this.#epoch = epoch;
      this.#revision = 0n;
    }
    const now = new Map(this.#wanted().map((entry) => [entry.claim.uid, entry]));
    const revision = this.#revision + 1n;
    // From here on: what changes while the agent is told is told next.
    this.#fresh = false;
    const telling = this.#o.agent.replace(
      {
        epoch,
        revision,
        machine: machineToWire(this.#o.machine()),
        allocations: [...now.values()].map((entry) => allocationInit(toAllocation(entry))),
      },
      signal,
    );
    const said = await telling.catch((cause: unknown) => {
      this.#fresh = true;
      throw cause;
    });
    this.#agentInstance = hello.agentInstance;
    this.#state = { connected: true, why: "", agentVersion: hello.agentVersion, nri: hello.nri };
    return this.#accepted(now, revision, said);
  }

  #accepted(
    now: ReadonlyMap<string, Entry>,
    revision: bigint,
    said: { readonly kept: readonly Allocation[]; readonly enforced?: readonly string[] },
  ): boolean {
    this.#enforced = new Set(said.enforced);
    this.#revision = revision;
    this.#sent.clear();
    for (const [uid, entry] of now) this.#sent.set(uid, entry);
    for (const one of said.kept) this.#o.adoptHeld(one);
    return said.kept.length > 0;
  }

  async #follow(signal: AbortSignal): Promise<void> {
    if (this.#seen.instance !== this.#agentInstance) this.#seen = { instance: this.#agentInstance, seq: 0n };
    for await (const { what } of this.#o.agent.watchEvents(this.#seen.seq, signal)) {
      if (what.case === "event") {
        this.#seen.seq = what.value.seq;
        this.#o.onEvent(what.value);
      } else if (what.case === "gap")
        this.#o.log.warn("events of the NRI agent were missed", { after: String(what.value.afterSeq) });
    }
    throw new AgentFault("away", "the NRI agent ended the stream of events");
  }
}
