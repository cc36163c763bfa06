import { create } from "@bufbuild/protobuf";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import {
  ApplyResponseSchema,
  HelloResponseSchema,
  ReplaceResponseSchema,
  type ApplyRequest,
  type ApplyResponse,
  type HelloRequest,
  type HelloResponse,
  type ReplaceRequest,
  type ReplaceResponse,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { digestOf } from "@dracpu/shared-proto/contract/digest.ts";
import { allocationToWire, machineFromWire } from "@dracpu/shared-proto/contract/wire.ts";
import type { Allocation } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { shareText } from "./awaiting.ts";
import { ContractFault } from "./contract.ts";
import { allocationOf, checkDisjoint, wire } from "./words.ts";
import type { EnforcerParts } from "./parts.ts";
import type { MemoryPort } from "./ports.ts";
import { holdClaims } from "./holding.ts";
import { assignRole } from "./synchronize.ts";
import { sessionMessage, truthMessage, type SessionReport } from "./view.ts";

export interface AgentIdentity {
  readonly instance: string;
  readonly version: string;
  readonly protocolMin: number;
  readonly protocolMax: number;
  readonly features: readonly string[];
}

/**
 * What drivers tell the agent about claims. Calls are taken one at a time: what is accepted is in the agent's file before it is in
 * memory, and in memory (with every mask moving) before it is answered.
 */
export class Ledger {
  readonly #p: EnforcerParts;
  readonly #memory: MemoryPort;
  readonly #identity: AgentIdentity;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: EnforcerParts, memory: MemoryPort, identity: AgentIdentity) {
    this.#p = parts;
    this.#memory = memory;
    this.#identity = identity;
  }

  hello(request: HelloRequest, session: SessionReport): HelloResponse {
    const { node } = this.#p;
    const { instance, version, protocolMin, protocolMax, features } = this.#identity;
    const protocol = Math.min(request.protocolMax, protocolMax);
    return create(HelloResponseSchema, {
      agentInstance: instance,
      agentVersion: version,
      protocol: protocol >= Math.max(request.protocolMin, protocolMin) ? protocol : 0,
      protocolMin,
      protocolMax,
      features: [...features],
      highestEpoch: node.held.highestEpoch,
      held: this.#held(),
      truth: truthMessage(node.truth),
      runtime: { name: node.session?.runtime.name ?? "", version: node.session?.runtime.version ?? "" },
      nri: sessionMessage(node, session),
      allocations: [...node.claims()].map(allocationToWire),
    });
  }

  replace(request: ReplaceRequest): Promise<ReplaceResponse> {
    return this.#inTurn(async () => {
      const { node } = this.#p;
      this.#checkEpoch(request.epoch);
      const machine = wire(() => machineFromWire(request.machine));
      const next = new Map<string, AllocationRecord>();
      for (const message of request.allocations) {
        const allocation = allocationOf(message);
        const { uid } = allocation.claim;
        if (next.has(uid)) throw new ContractFault("bad-message", `claim ${uid} is named twice`, { claims: [uid] });
        next.set(uid, allocation);
      }
      // Nobody would be kept off them.
      if (request.letGo && next.size > 0)
        throw new ContractFault("bad-message", "claims are named beside let_go, which keeps nobody off any CPUs", {
          claims: [...next.keys()],
        });
      checkDisjoint(next.values(), node.allocations);
      if (request.epoch === node.held.epoch && request.revision < node.held.revision) {
        throw new ContractFault(
          "revision-gap",
          `Revision ${request.revision} of epoch ${request.epoch} has been overtaken by ${node.held.revision}; say Hello again`,
        );
      }
      await this.#accept(
        request.epoch,
        request.revision,
        next,
        () => {
          node.told = machine;
          node.lettingGo = request.letGo;
          if (node.truth !== "confirmed") this.#p.say.truth("Claims are confirmed by a driver");
          node.truth = "confirmed";
        },
        machine,
      );
      return create(ReplaceResponseSchema, this.#answer());
    });
  }

  apply(request: ApplyRequest): Promise<ApplyResponse> {
    return this.#inTurn(async () => {
      const { node } = this.#p;
      this.#checkEpoch(request.epoch);
      if (node.truth !== "confirmed")
        throw new ContractFault("revision-gap", "this agent has started anew and wants Replace first");
      const next = new Map(node.allocations);
      for (const uid of request.removals) next.delete(uid);
      for (const message of request.upserts) {
        const allocation = allocationOf(message);
        next.set(allocation.claim.uid, allocation);
      }
      const digest = digestOf(next.values());
      if (request.epoch === node.held.epoch && request.revision === node.held.revision && digest === node.held.digest) {
        return create(ApplyResponseSchema, this.#answer());
      }
      if (request.epoch !== node.held.epoch || request.baseRevision !== node.held.revision) {
        throw new ContractFault(
          "revision-gap",
          `Cannot apply revision ${request.revision} on ${request.baseRevision}: the agent holds epoch ${node.held.epoch}, revision ${node.held.revision}; send Replace`,
        );
      }
      if (request.digest !== "" && request.digest !== digest) {
        throw new ContractFault(
          "digest-mismatch",
          "Cannot apply the change: the claims held here differ from the driver's; send Replace",
        );
      }
      checkDisjoint(next.values(), node.allocations);
      await this.#accept(request.epoch, request.revision, next, () => {});
      return create(ApplyResponseSchema, this.#answer());
    });
  }

  /**
   * Orphans of which nothing lives are forgotten, and what the driver says holds. They leave the file some time later; a restart in between
   * only asks the kernel again.
   */
  forgetDrained(): void {
    const { node } = this.#p;
    let changed = false;
    for (const [uid, orphan] of node.orphans) {
      if (!node.synchronized || node.containersOf(uid).length > 0) continue;
      node.orphans.delete(uid);
      if (node.allocations.has(uid)) changed = true;
      else this.#p.say.drained(orphan);
    }
    if (changed) this.#p.mover.refresh();
  }

  async #accept(
    epoch: bigint,
    revision: bigint,
    next: ReadonlyMap<string, AllocationRecord>,
    alsoChange: () => void,
    machine = this.#p.node.told,
  ): Promise<void> {
    const { node } = this.#p;
    const digest = digestOf(next.values());
    const highestEpoch = epoch > node.held.highestEpoch ? epoch : node.held.highestEpoch;
    let orphans = this.#orphans(next);
    for (;;) {
      try {
        await this.#memory.save({
          bootId: machine?.bootId ?? "",
          highestEpoch,
          epoch,
          revision,
          digest,
          machine,
          allocations: [...next.values()],
          orphans: [...orphans.values()],
        });
      } catch (cause) {
        throw new ContractFault(
          "disk",
          `The agent cannot write its own file, so it accepts no change: ${(cause as Error).message}`,
          { cause },
        );
      }
      // A container of a claim that goes may have been admitted during the write.
      const now = this.#orphans(next);
      if ([...now.keys()].every((uid) => orphans.has(uid))) break;
      orphans = now;
    }
    Object.assign(node.held, { epoch, revision, digest, highestEpoch });
    replaceMap(node.allocations, next);
    replaceMap(node.orphans, orphans);
    alsoChange();
    for (const record of node.containers.values()) assignRole(node, record);
    // Who is to be held alone has to know its CPUs first.
    this.#p.mover.compute();
    if (node.synchronized) holdClaims(this.#p);
    this.#p.mover.refresh();
    this.#p.reaper.expect();
    this.#p.changed();
  }

  /**
   * Claims whose containers live, or cannot be known, and that the driver names no more, which drain on our own account, or names with other
   * CPUs: a running exclusive container is never moved, so they stay as they are.
   */
  #orphans(next: ReadonlyMap<string, AllocationRecord>): Map<string, AllocationRecord> {
    const { node } = this.#p;
    const orphans = new Map<string, AllocationRecord>();
    for (const claim of node.claims()) {
      const { uid } = claim.claim;
      if (node.synchronized && node.containersOf(uid).length === 0) continue;
      const said = next.get(uid);
      if (said === undefined) orphans.set(uid, { ...claim, state: "draining" });
      else if (shareText(said) !== shareText(claim))
        orphans.set(uid, { ...said, shares: claim.shares, idle: claim.idle });
    }
    return orphans;
  }

  #checkEpoch(epoch: bigint): void {
    const { highestEpoch } = this.#p.node.held;
    if (epoch === 0n)
      throw new ContractFault("bad-message", "epoch 0 is nobody's; the driver takes max(own, agent's) + 1 after Hello");
    if (epoch < highestEpoch) {
      throw new ContractFault(
        "epoch-too-low",
        `Epoch ${epoch} has been overtaken by ${highestEpoch}: another driver is in charge; say Hello again`,
      );
    }
  }

  #held(): { epoch: bigint; revision: bigint; digest: string } {
    const { epoch, revision, digest } = this.#p.node.held;
    return { epoch, revision, digest };
  }

  #answer(): {
    agentInstance: string;
    nriSessionId: string;
    held: { epoch: bigint; revision: bigint; digest: string };
    kept: Allocation[];
  } {
    const { node } = this.#p;
    return {
      agentInstance: this.#identity.instance,
      nriSessionId: node.synchronized ? (node.session?.id ?? "") : "",
      held: this.#held(),
      kept: node.kept().map(allocationToWire),
    };
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(run, run);
    this.#turn = mine.catch(() => {});
    return mine;
  }
}

function replaceMap<K, V>(map: Map<K, V>, next: ReadonlyMap<K, V>): void {
  map.clear();
  for (const [key, value] of next) map.set(key, value);
}
