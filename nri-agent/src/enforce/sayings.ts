import { EventKind } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Code } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import type { ContainerRecord, ContainerRef } from "../masks/container.ts";
import type { Pool } from "../pool/pool.ts";
import type { Admission } from "../truth/admit.ts";
import type { ClaimUse } from "../truth/marks.ts";
import { REFUSAL_CODES } from "../truth/codes.ts";
import type { NodeKnowledge } from "./node.ts";
import type { EventRing, Observer } from "./ports.ts";

/** The agent's events, each with a constant beginning. They go to a ring in memory; the log is drained by its own writer. */
export class Sayings {
  readonly #node: NodeKnowledge;
  readonly #ring: EventRing;
  readonly #observer: Observer;

  constructor(node: NodeKnowledge, ring: EventRing, observer: Observer) {
    this.#node = node;
    this.#ring = ring;
    this.#observer = observer;
  }

  refused(ref: ContainerRef, refusal: Extract<Admission, { kind: "refuse" }>): void {
    this.#ring.add({
      kind: EventKind.REFUSED,
      message: refusal.message,
      container: wireRef(ref),
      reason: refusal.reason,
      code: REFUSAL_CODES[refusal.reason].id,
      claims: this.#claims(refusal.uses.map((use) => use.claimUid)),
    });
    this.#observer.warn("refused a container", {
      ...logRef(ref),
      ...this.#operation(refusal.uses),
      reason: refusal.reason,
      code: REFUSAL_CODES[refusal.reason].id,
    });
  }

  pinned(container: ContainerRecord): void {
    this.#ring.add({
      kind: EventKind.PINNED,
      message: `Pinned to CPUs ${container.wanted?.toString() ?? ""}`,
      container: wireRef(container.ref),
      cpus: container.wanted?.toString() ?? "",
      claims: this.#claims(container.uses.map((use) => use.claimUid)),
    });
    this.#observer.info("pinned a container", {
      ...logRef(container.ref),
      ...this.#operation(container.uses),
      cpus: container.wanted?.toString(),
    });
  }

  escaped(container: ContainerRecord, on: CpuSet, why: string): void {
    // The agent's own container is always made while the agent is away.
    if (container.role === "own") return;
    this.#observer.count("escapes");
    this.#ring.add({
      kind: EventKind.ESCAPED,
      message: `Found running on CPUs ${on.toString()} outside its mask: ${why}`,
      code: CODES.escaped.id,
      container: wireRef(container.ref),
      cpus: on.toString(),
      claims: this.#claims(container.uses.map((use) => use.claimUid)),
    });
    this.#observer.warn("a container ran outside its mask", {
      ...logRef(container.ref),
      cpus: on.toString(),
      why,
      code: CODES.escaped.id,
    });
  }

  repaired(container: ContainerRecord): void {
    this.#observer.count("repairs");
    this.#ring.add({
      kind: EventKind.REPAIRED,
      message: `Back inside its mask, on CPUs ${container.effective?.toString() ?? ""}`,
      container: wireRef(container.ref),
      cpus: container.effective?.toString() ?? "",
    });
    this.#observer.info("put a container back inside its mask", {
      ...logRef(container.ref),
      cpus: container.effective?.toString(),
    });
  }

  drained(allocation: AllocationRecord): void {
    this.#ring.add({
      kind: EventKind.DRAINED,
      message: `No container of claim ${allocation.claim.namespace}/${allocation.claim.name} lives any more; its CPUs are free`,
      claims: [allocation.claim],
    });
    this.#observer.info("a claim is drained", {
      claim: `${allocation.claim.namespace}/${allocation.claim.name}`,
      claimUID: allocation.claim.uid,
      ...operationOf([allocation]),
    });
  }

  pool(pool: Pool): void {
    const fell =
      pool.source === "pool"
        ? ""
        : `; no other CPU is left, so it uses ${pool.source === "reserved" ? "the reserved CPUs" : "every online CPU"}`;
    this.#ring.add({
      kind: EventKind.POOL,
      message: `The shared pool is now CPUs ${pool.shared.toString()}${fell}`,
      cpus: pool.shared.toString(),
      code: pool.source === "pool" ? "" : pool.source === "reserved" ? CODES.poolFellBack.id : CODES.poolOverlaps.id,
    });
    this.#observer.info("the shared pool changed", { cpus: pool.shared.toString(), source: pool.source });
  }

  session(message: string): void {
    this.#ring.add({ kind: EventKind.SESSION, message });
    this.#observer.info(message);
  }

  truth(message: string): void {
    this.#ring.add({ kind: EventKind.TRUTH, message });
    this.#observer.info(message);
  }

  problem(message: string, ref: ContainerRef, code: Code): void {
    this.#ring.add({ kind: EventKind.PROBLEM, message, container: wireRef(ref), code: code.id });
    this.#observer.warn(message, { ...logRef(ref), code: code.id });
  }

  /** Of the Prepare that gave it its CPUs, as the driver's log names it. */
  #operation(uses: readonly ClaimUse[]): { readonly operation?: string } {
    return operationOf(uses.flatMap(({ claimUid }) => this.#node.claim(claimUid) ?? []));
  }

  #claims(uids: readonly string[]): { uid: string; namespace: string; name: string }[] {
    return [...new Set(uids)].map((uid) => {
      const claim = this.#node.claim(uid)?.claim;
      return { uid, namespace: claim?.namespace ?? "", name: claim?.name ?? "" };
    });
  }
}

function operationOf(allocations: readonly AllocationRecord[]): { readonly operation?: string } {
  const ids = [...new Set(allocations.map((one) => one.operationId).filter((id) => id !== ""))];
  return ids.length === 0 ? {} : { operation: ids.join(",") };
}

export function wireRef(ref: ContainerRef): ContainerRef {
  return { id: ref.id, name: ref.name, podUid: ref.podUid, podNamespace: ref.podNamespace, podName: ref.podName };
}

function logRef(ref: ContainerRef): Record<string, string> {
  return { pod: `${ref.podNamespace}/${ref.podName}`, podUID: ref.podUid, container: ref.name, containerID: ref.id };
}
