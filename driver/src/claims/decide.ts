import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ClaimName, ConsumerRecord, ShareRecord } from "@dracpu/shared-proto/contract/records.ts";
import { allocate, type Shortfall } from "../allocator/allocate.ts";
import { CPU_CAPACITY } from "../slices/capacity.ts";
import type { Machine } from "../topology/machine.ts";
import type { AllocationResult, ResourceClaim } from "./resourceclaim.ts";

/** A result of the allocation that is this driver's, as the kubelet's answer needs it. */
export interface OwnResult {
  /** Main request. */
  readonly request: string;
  readonly pool: string;
  readonly device: string;
  readonly shareId: string | undefined;
  /** CPUs asked for; 0 with admin access, which takes none. */
  readonly count: number;
}

export type ClaimReading =
  | {
      readonly kind: "wanted";
      readonly claim: ClaimName;
      readonly consumers: readonly ConsumerRecord[];
      readonly results: readonly OwnResult[];
    }
  | { readonly kind: "refused"; readonly message: string };

/** What the node can give. */
export interface Offer {
  readonly driver: string;
  readonly pool: string;
  readonly machine: Machine;
  /** CPUs behind each device name. */
  readonly candidates: ReadonlyMap<string, CpuSet>;
}

/** Reads what a claim wants of this driver. Every refusal is a sentence for the pod's Event. */
export function readClaim(claim: ResourceClaim, offer: Offer): ClaimReading {
  const { name, namespace, uid } = claim.metadata;
  const at = `claim ${namespace}/${name}`;
  const results = claim.status?.allocation?.devices?.results;
  if (results === undefined) {
    return {
      kind: "refused",
      message: `Cannot prepare ${at}: it is not allocated; the scheduler has to allocate it first`,
    };
  }
  const own: OwnResult[] = [];
  for (const result of results) {
    if (result.driver !== offer.driver) continue;
    const count = result.adminAccess === true ? 0 : cpuCount(result);
    if (typeof count === "string")
      return {
        kind: "refused",
        message: `Cannot prepare ${at}: request ${result.request}, device ${result.device}: ${count}`,
      };
    if (result.pool !== offer.pool) {
      return {
        kind: "refused",
        message: `Cannot prepare ${at}: device ${result.device} is of pool ${result.pool}; this node's pool is ${offer.pool}`,
      };
    }
    if (!offer.candidates.has(result.device)) {
      const known = [...offer.candidates.keys()].join(", ");
      return {
        kind: "refused",
        message: `Cannot prepare ${at}: this node offers no device ${result.device} (it offers ${known === "" ? "none" : known}); delete the pod, so that the scheduler allocates anew`,
      };
    }
    own.push({
      request: result.request.split("/")[0] ?? result.request,
      pool: result.pool,
      device: result.device,
      shareId: result.shareID,
      count,
    });
  }
  if (own.length === 0) {
    const others = [...new Set(results.map((result) => result.driver))].join(", ");
    return {
      kind: "refused",
      message: `Cannot prepare ${at}: none of its allocated devices is of driver ${offer.driver}${others === "" ? "" : ` (they are of ${others})`}`,
    };
  }
  const consumers = (claim.status?.reservedFor ?? []).map(({ resource, uid: consumer, name: called }) => ({
    resource,
    uid: consumer,
    name: called,
  }));
  return { kind: "wanted", claim: { uid, namespace, name }, consumers, results: own };
}

export interface Chosen {
  readonly kind: "chosen";
  readonly shares: readonly ShareRecord[];
  readonly idle: CpuSet;
}

/** Chooses CPUs for every result, out of what is free. Requests of one claim come after each other and never overlap. */
export function choose(results: readonly OwnResult[], offer: Offer, free: CpuSet): Chosen | Shortfall {
  let left = free;
  let idle = CpuSet.empty;
  const shares: ShareRecord[] = [];
  for (const result of results) {
    if (result.count === 0) continue;
    const candidates = offer.candidates.get(result.device) ?? CpuSet.empty;
    const answer = allocate(offer.machine, candidates.intersect(left), result.count);
    if (answer.kind === "shortfall") {
      return { ...answer, because: `request ${result.request}, device ${result.device}: ${answer.because}` };
    }
    left = left.minus(answer.cpus).minus(answer.idle);
    idle = idle.union(answer.idle);
    shares.push({ request: result.request, pool: result.pool, device: result.device, cpus: answer.cpus });
  }
  return { kind: "chosen", shares, idle };
}

/** A whole number of CPUs, or a sentence. The scheduler writes quantities in their canonical form. */
function cpuCount(result: AllocationResult): number | string {
  const text = result.consumedCapacity?.[CPU_CAPACITY];
  if (text === undefined) {
    return `it has no consumed capacity ${CPU_CAPACITY}; the cluster needs the feature gate DRAConsumableCapacity (on by default from 1.36)`;
  }
  const m = /^(-?\d+(?:\.\d+)?)(m|k)?$/.exec(text);
  if (m === null) return `its capacity ${CPU_CAPACITY} is ${JSON.stringify(text)}, which is no number of CPUs`;
  const value = Number(m[1]) * (m[2] === "m" ? 0.001 : m[2] === "k" ? 1000 : 1);
  if (value <= 0) return `its capacity ${CPU_CAPACITY} is ${text}; at least 1 CPU has to be asked for`;
  if (!Number.isInteger(value)) return `its capacity ${CPU_CAPACITY} is ${text}; exclusive CPUs come whole`;
  return value;
}
