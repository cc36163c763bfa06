import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ClaimName, ConsumerRecord } from "@dracpu/shared-proto/contract/records.ts";
import type { Policy } from "../allocator/allocate.ts";
import { CPU_CAPACITY } from "../slices/capacity.ts";
import { isSingle } from "../slices/groups.ts";
import type { Machine } from "../topology/machine.ts";
import { wishOf, type Wish } from "./precedence.ts";
import type { AllocationResult, ResourceClaim } from "./resourceclaim.ts";

/** On claims that were made from a template (k8s.io/api v0.36.3, resource/v1/types.go, PodResourceClaimAnnotation). */
const POD_CLAIM_NAME = "resource.kubernetes.io/pod-claim-name";

/** A result of the allocation that is this driver's, as the kubelet's answer needs it. */
export interface OwnResult {
  /** Main request. */
  readonly request: string;
  readonly pool: string;
  readonly device: string;
  readonly shareId: string | undefined;
  /** CPUs that the scheduler has charged, idle siblings included; 0 with admin access, which takes none. */
  readonly count: number;
}

export interface Refused {
  readonly kind: "refused";
  /** A sentence for the pod's Event. */
  readonly message: string;
}

/** What the allocation says by itself. */
export interface ResultsReading {
  readonly kind: "results";
  readonly claim: ClaimName;
  /** What its pod calls it, where it was made from a template. */
  readonly podClaimName?: string;
  readonly consumers: readonly ConsumerRecord[];
  readonly results: readonly OwnResult[];
}

/** What a claim that has no CPUs yet wants of this node. */
export interface Wanted extends Omit<ResultsReading, "kind"> {
  readonly kind: "wanted";
  /** By main request; those with admin access have none. */
  readonly wishes: ReadonlyMap<string, Wish>;
  /** Holds for the claim as a whole: its containers may use any of its requests. */
  readonly isolated: boolean;
}

/** What the node can give. */
export interface Offer {
  readonly driver: string;
  readonly pool: string;
  readonly machine: Machine;
  /** CPUs behind each device name of every mode: a claim keeps its device when the mode changes. */
  readonly candidates: ReadonlyMap<string, CpuSet>;
  /** Names of the devices that are published now. */
  readonly offered: readonly string[];
  /** Used where neither DeviceClass nor claim says anything. */
  readonly defaults: Policy;
  readonly reserved: CpuSet;
  readonly keepShared: CpuSet;
}

interface Read extends ResultsReading {
  readonly rows: readonly { readonly result: AllocationResult; readonly own: OwnResult }[];
}

/**
 * Reads the results of a claim that holds CPUs already. They are held against what it was prepared as, and not against what the
 * node offers now: a claim outlives a change of the node's configuration.
 */
export function readResults(claim: ResourceClaim, driver: string): ResultsReading | Refused {
  const read = readRows(claim, driver);
  if (read.kind === "refused") return read;
  const { rows: _rows, ...reading } = read;
  return reading;
}

/** Reads what a claim wants of this node. */
export function readClaim(claim: ResourceClaim, offer: Offer): Wanted | Refused {
  const read = readRows(claim, offer.driver);
  if (read.kind === "refused") return read;
  const at = nameOf(claim);
  const wishes = new Map<string, Wish>();
  const problems = new Set<string>();
  for (const { result, own } of read.rows) {
    const why = unusable(result, own, offer);
    if (why !== "") return refused(at, why);
    if (own.count === 0 || wishes.has(own.request)) continue;
    const reading = wishOf(result.request, claim.status?.allocation?.devices?.config, offer.driver, offer.defaults);
    if (reading.kind === "wish") wishes.set(own.request, reading.wish);
    // An entry for all requests is wrong once, however many requests there are.
    else for (const problem of reading.problems) problems.add(problem);
  }
  if (problems.size > 0) return refused(at, `its parameters cannot be used: ${[...problems].join("; ")}`);
  const names = (isolated: boolean): string =>
    [...wishes]
      .filter(([, wish]) => wish.isolated === isolated)
      .map(([name]) => name)
      .join(", ");
  if (names(true) !== "" && names(false) !== "") {
    return refused(
      at,
      `\`isolation\` holds for a whole claim: request ${names(true)} is isolated, and request ${names(false)} is not; say the same for all, or make two claims`,
    );
  }
  const { rows: _rows, kind: _kind, ...reading } = read;
  return { ...reading, kind: "wanted", wishes, isolated: names(true) !== "" };
}

function readRows(claim: ResourceClaim, driver: string): Read | Refused {
  const { name, namespace, uid } = claim.metadata;
  const at = nameOf(claim);
  const results = claim.status?.allocation?.devices?.results;
  if (results === undefined) return refused(at, "it is not allocated; the scheduler has to allocate it first");
  const rows: Read["rows"][number][] = [];
  for (const result of results) {
    if (result.driver !== driver) continue;
    const count = result.adminAccess === true ? 0 : cpuCount(result);
    if (typeof count === "string") return refused(at, `request ${result.request}, device ${result.device}: ${count}`);
    const { request, pool, device, shareID: shareId } = result;
    rows.push({ result, own: { request: request.split("/")[0] ?? request, pool, device, shareId, count } });
  }
  if (rows.length === 0) {
    const others = [...new Set(results.map((result) => result.driver))].join(", ");
    return refused(
      at,
      `none of its allocated devices is of driver ${driver}${others === "" ? "" : ` (they are of ${others})`}`,
    );
  }
  const consumers = (claim.status?.reservedFor ?? []).map(({ resource, uid: consumer, name: called }) => ({
    resource,
    uid: consumer,
    name: called,
  }));
  const podClaimName = claim.metadata.annotations?.[POD_CLAIM_NAME];
  return {
    kind: "results",
    claim: { uid, namespace, name },
    ...(podClaimName === undefined || podClaimName === "" ? {} : { podClaimName }),
    consumers,
    results: rows.map(({ own }) => own),
    rows,
  };
}

function nameOf(claim: ResourceClaim): string {
  return `claim ${claim.metadata.namespace}/${claim.metadata.name}`;
}

function refused(at: string, why: string): Refused {
  return { kind: "refused", message: `Cannot prepare ${at}: ${why}` };
}

/** "" or why this node cannot serve the result at all. */
function unusable(result: AllocationResult, own: OwnResult, offer: Offer): string {
  if (own.pool !== offer.pool) return `device ${own.device} is of pool ${own.pool}; this node's pool is ${offer.pool}`;
  if (!offer.candidates.has(own.device)) {
    const known = offer.offered;
    const some = known.length > 8 ? `${known.slice(0, 8).join(", ")} and ${known.length - 8} more` : known.join(", ");
    return `this node offers no device ${own.device} (it offers ${some === "" ? "none" : some}); delete the pod, so that the scheduler allocates anew`;
  }
  if (own.count > 0 && !isSingle(own.device) && result.consumedCapacity?.[CPU_CAPACITY] === undefined) {
    return `request ${result.request}, device ${own.device}: it has no consumed capacity ${CPU_CAPACITY}; the cluster needs the feature gate DRAConsumableCapacity (on by default from 1.36)`;
  }
  return "";
}

/** A whole number of CPUs, or a sentence. Without capacity the device is one CPU. The scheduler writes quantities in their canonical form. */
function cpuCount(result: AllocationResult): number | string {
  const text = result.consumedCapacity?.[CPU_CAPACITY];
  if (text === undefined) return 1;
  const m = /^(-?\d+(?:\.\d+)?)(m|k)?$/.exec(text);
  if (m === null) return `its capacity ${CPU_CAPACITY} is ${JSON.stringify(text)}, which is no number of CPUs`;
  const value = Number(m[1]) * (m[2] === "m" ? 0.001 : m[2] === "k" ? 1000 : 1);
  if (value <= 0) return `its capacity ${CPU_CAPACITY} is ${text}; at least 1 CPU has to be asked for`;
  if (!Number.isInteger(value)) return `its capacity ${CPU_CAPACITY} is ${text}; exclusive CPUs come whole`;
  return value;
}
