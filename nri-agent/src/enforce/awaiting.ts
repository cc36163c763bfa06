import { create } from "@bufbuild/protobuf";
import {
  AwaitResponseSchema,
  ClaimProgressSchema,
  Progress,
  type AwaitRequest,
  type AwaitResponse,
  type ClaimProgress,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { allocationToWire } from "@dracpu/shared-proto/contract/wire.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import type { ContainerRecord } from "../masks/container.ts";
import { ContractFault } from "./contract.ts";
import { cpusOf, type NodeKnowledge } from "./node.ts";
import type { Clock } from "./ports.ts";
import { wireRef } from "./sayings.ts";

const MAX_WAIT_MS = 60_000;
/** Containers named in one answer; the rest are as good as named. */
const MAX_NAMED = 10;

/**
 * How far a claim is, from what was read back from the kernel and never from what was sent.
 *
 * ENFORCED: an NRI session is synchronized, no living container of another claim is on the CPUs and, for those that masks hold
 * (all of them without the kernel lever, else the idle siblings), no update in flight grants them and every container that has a cgroup was read back off them. With the
 * runtime lever and without unsolicited updates the last part moves to the claim container's own start.
 */
export function progressOf(node: NodeKnowledge, uid: string, canUpdate: boolean): ClaimProgress {
  const answer = (
    progress: Progress,
    why = "",
    containers: readonly ContainerRecord[] = [],
    cpus?: CpuSet,
  ): ClaimProgress =>
    create(ClaimProgressSchema, {
      claimUid: uid,
      progress,
      why,
      containers: containers.slice(0, MAX_NAMED).map((container) => wireRef(container.ref)),
      cpus: cpus?.toString() ?? "",
    });
  // Without a session nothing is known of containers, not even that there are none.
  if (!node.synchronized) {
    return answer(Progress.PENDING, "the NRI agent has no synchronized session with the container runtime");
  }
  const allocation = node.claim(uid);
  if (allocation === undefined) return answer(Progress.DRAINED);
  const living = node.containersOf(uid);
  if (allocation.state === "draining") {
    return living.length === 0
      ? answer(Progress.DRAINED)
      : answer(Progress.LIVING, "containers of the claim still live", living);
  }
  if (living.length === 0 && node.orphans.has(uid))
    return answer(Progress.PENDING, "its former CPUs are being given up");
  const cpus = cpusOf(allocation).union(allocation.idle);
  const impossible = impossibility(node, allocation, living);
  if (impossible !== "") return answer(Progress.IMPOSSIBLE, impossible);
  const others = othersOn(node, uid, cpus);
  if (others.length > 0) {
    const ref = others[0]?.ref;
    return answer(Progress.PENDING, `${name(ref)} of another claim still runs on its CPUs`, others, cpus);
  }
  // The kernel takes running CPUs at the container's start; idle siblings are in no partition, so masks hold them with every lever.
  const masked = node.isByMasks(uid) ? cpus : allocation.idle;
  if (masked.isEmpty) return answer(Progress.ENFORCED);
  const granted: ContainerRecord[] = [];
  const still: ContainerRecord[] = [];
  const waitForOthers = node.levers.masks === "file" || canUpdate;
  for (const container of node.containers.values()) {
    // One whose cgroup the runtime does not tell can be neither read nor written: it is reported, and holds up nobody.
    if (container.cgroup === undefined || node.isOf(container, uid)) continue;
    // Only the runtime can move it, and that with the reply to the next hook, which may be the creation of this claim's own container.
    if (container.byRuntimeOnly && !canUpdate) continue;
    if (container.grants.some((grant) => grant.cpus.overlaps(masked))) granted.push(container);
    else if (waitForOthers && mayRunOn(node, container, masked)) still.push(container);
  }
  if (granted.length > 0) {
    return answer(
      Progress.PENDING,
      `an update of ${name(granted[0]?.ref)} that grants its CPUs is still in flight`,
      granted,
      masked,
    );
  }
  if (still.length > 0) {
    const first = still[0];
    const why = first?.problem ?? "";
    return answer(Progress.PENDING, why === "" ? `${name(first?.ref)} still runs on its CPUs` : why, still, masked);
  }
  return answer(Progress.ENFORCED);
}

function mayRunOn(node: NodeKnowledge, container: ContainerRecord, cpus: CpuSet): boolean {
  if (container.phase === "created") return false;
  if (container.stale || container.effective === undefined) return container.phase === "running" && !container.stopping;
  return node.reach(container)?.overlaps(cpus) === true;
}

function impossibility(node: NodeKnowledge, allocation: AllocationRecord, living: readonly ContainerRecord[]): string {
  const { uid } = allocation.claim;
  const said = node.allocations.get(uid);
  if (said !== undefined && node.orphans.has(uid)) {
    return `${name(living[0]?.ref)} runs on its CPUs ${shareText(allocation)} and is never moved, while the driver says ${shareText(said)}; delete its pod`;
  }
  const online = node.machine?.online;
  const cpus = cpusOf(allocation);
  if (online !== undefined && !cpus.isEmpty && !cpus.overlaps(online))
    return `all its CPUs (${cpus.toString()}) are offline`;
  if (allocation.isolated && node.levers.force !== "kernel") {
    return `it asks for isolated CPUs (no load balancing), which only the kernel lever gives, and that is not in force here: ${node.levers.why}`;
  }
  return "";
}

export function shareText(allocation: AllocationRecord): string {
  return allocation.shares
    .map((share) => `${share.request}=${share.cpus.toString()}`)
    .sort()
    .join(" ");
}

function othersOn(node: NodeKnowledge, uid: string, cpus: CpuSet): ContainerRecord[] {
  const found: ContainerRecord[] = [];
  for (const container of node.containers.values()) {
    if (container.role !== "claim" && container.role !== "unknown-claim") continue;
    if (node.isOf(container, uid)) continue;
    const on =
      container.role === "claim"
        ? node.claimMask(container)
        : container.wanted === undefined
          ? container.effective
          : undefined;
    if (on?.overlaps(cpus) === true) found.push(container);
  }
  return found;
}

function name(ref: ContainerRecord["ref"] | undefined): string {
  return ref === undefined ? "a container" : `container ${ref.name} of pod ${ref.podNamespace}/${ref.podName}`;
}

/** Callers that wait for claims. Woken by every change; each looks at the state of that moment. */
export class Waiters {
  readonly #node: NodeKnowledge;
  readonly #clock: Clock;
  readonly #canUpdate: () => boolean;
  readonly #identity: { readonly instance: string };
  readonly #waiting = new Set<() => void>();
  #stopping = false;

  constructor(parts: {
    node: NodeKnowledge;
    clock: Clock;
    canUpdate: () => boolean;
    identity: { readonly instance: string };
  }) {
    this.#node = parts.node;
    this.#clock = parts.clock;
    this.#canUpdate = parts.canUpdate;
    this.#identity = parts.identity;
  }

  wake(): void {
    for (const look of this.#waiting) look();
  }

  /** Those of the claims that are ENFORCED. */
  enforced(uids: readonly string[]): string[] {
    return uids.filter((uid) => progressOf(this.#node, uid, this.#canUpdate()).progress === Progress.ENFORCED);
  }

  async await(request: AwaitRequest, signal: AbortSignal): Promise<AwaitResponse> {
    const { held } = this.#node;
    if (request.epoch !== held.epoch || request.revision > held.revision || this.#node.truth !== "confirmed") {
      throw new ContractFault(
        "revision-gap",
        `Cannot wait for epoch ${request.epoch}, revision ${request.revision}: the agent holds epoch ${held.epoch}, revision ${held.revision}; send Replace`,
      );
    }
    const waitMs = Math.min(request.timeoutMs, MAX_WAIT_MS);
    if (waitMs > 0 && !this.#done(request)) await this.#change(request, waitMs, signal);
    if (this.#stopping) throw new ContractFault("stopping", "the NRI agent is stopping");
    return create(AwaitResponseSchema, {
      agentInstance: this.#identity.instance,
      nriSessionId: this.#node.synchronized ? (this.#node.session?.id ?? "") : "",
      claims: request.claims.map((uid) => progressOf(this.#node, uid, this.#canUpdate())),
      kept: this.#node
        .kept()
        .filter(({ claim }) => request.claims.includes(claim.uid))
        .map(allocationToWire),
    });
  }

  /** Everybody who waits gets an answer now. */
  stop(): void {
    this.#stopping = true;
    this.wake();
  }

  #done(request: AwaitRequest): boolean {
    if (this.#stopping) return true;
    return request.claims.every((uid) => {
      const { progress } = progressOf(this.#node, uid, this.#canUpdate());
      return progress === Progress.ENFORCED || progress === Progress.DRAINED || progress === Progress.IMPOSSIBLE;
    });
  }

  #change(request: AwaitRequest, waitMs: number, signal: AbortSignal): Promise<void> {
    const session = this.#node.session?.id;
    return new Promise((resolve) => {
      const finish = (): void => {
        this.#waiting.delete(look);
        signal.removeEventListener("abort", finish);
        cancel();
        resolve();
      };
      // A new session, or a lost one, is told at once: the driver goes back to Replace.
      const look = (): void => {
        if (this.#done(request) || this.#node.session?.id !== session) finish();
      };
      const cancel = this.#clock.later(waitMs, finish);
      signal.addEventListener("abort", finish, { once: true });
      this.#waiting.add(look);
    });
  }
}
