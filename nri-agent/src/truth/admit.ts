import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import type { ClaimUse, MarksReading } from "./marks.ts";

/**
 * What this agent may believe about claims.
 *
 * | truth | from | new claim container | unknown claim found running | shared container |
 * |---|---|---|---|---|
 * | none | nothing | refused | left alone | left alone |
 * | restored | own file | pinned if in the file, else refused | keeps its CPUs, which are held | shared pool |
 * | confirmed | a driver, since this start | pinned if known, else refused | confined and reported | shared pool |
 */
export type Truth = "none" | "restored" | "confirmed";

/** Why a container was refused. Closed; the driver acts on `RESERVATION_UNKNOWN` by reading the claim again. */
export type RefusalReason =
  | "FORGED_VARIABLE"
  | "MALFORMED_VARIABLE"
  | "TRUTH_UNKNOWN"
  | "CLAIM_UNKNOWN"
  | "CLAIM_RELEASED"
  | "REQUEST_UNKNOWN"
  | "RESERVATION_UNKNOWN"
  | "OTHER_POD_LIVES"
  | "CPUS_OFFLINE"
  | "CDI_LEFT_OUT"
  | "ISOLATION_CLASH"
  | "NOT_ENFORCED";

export interface PodName {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

export type Admission =
  /** Truth is `none` and the container is no claim's: it is not ours to touch yet. */
  | { readonly kind: "leave" }
  | { readonly kind: "shared" }
  | { readonly kind: "pin"; readonly uses: readonly ClaimUse[]; readonly cpus: CpuSet }
  | {
      readonly kind: "refuse";
      readonly reason: RefusalReason;
      readonly message: string;
      readonly uses: readonly ClaimUse[];
    };

export interface AdmitInput {
  readonly reading: MarksReading;
  readonly truth: Truth;
  readonly online: CpuSet;
  readonly pod: PodName;
  readonly container: string;
  allocation(claimUid: string): AllocationRecord | undefined;
  /** Another pod than this one with a living container of the claim. */
  otherLivingPod(claimUid: string): PodName | undefined;
}

/** CPUs of one use: the share of its request, or the union of all shares; `undefined` where the claim has no such request. */
export function cpusOfUse(allocation: AllocationRecord, use: ClaimUse): CpuSet | undefined {
  const shares = allocation.shares.filter((share) => use.request === undefined || share.request === use.request);
  return shares.length === 0 ? undefined : CpuSet.union(shares.map((share) => share.cpus));
}

/** Decides about a container that is being created. Texts reach the pod as an Event, so they say what to do. */
export function admit(input: AdmitInput): Admission {
  const { reading, pod, container } = input;
  const who = `container ${container} of pod ${pod.namespace}/${pod.name}`;
  const refuse = (reason: RefusalReason, message: string): Admission => ({
    kind: "refuse",
    reason,
    message: `dra.cpu: ${message}`,
    uses: reading.kind === "claims" ? reading.uses : [],
  });
  switch (reading.kind) {
    case "none":
      return input.truth === "none" ? { kind: "leave" } : { kind: "shared" };
    case "forged":
      return refuse(
        "FORGED_VARIABLE",
        `cannot create ${who}: it carries ${reading.variable}, but ${reading.because}. Only the dra.cpu driver sets variables of that name; remove it from the pod, and name a ResourceClaim to get CPUs`,
      );
    case "malformed":
      return refuse(
        "MALFORMED_VARIABLE",
        `cannot create ${who}: ${reading.variable} cannot be used, because ${reading.because}. Only the dra.cpu driver sets names of that kind; remove it from the pod`,
      );
    case "claims":
      break;
  }
  if (input.truth === "none") {
    return refuse(
      "TRUTH_UNKNOWN",
      `cannot create ${who} yet: the NRI agent has just started and no driver has told it which CPUs the claim has. It is created by itself once the driver container runs`,
    );
  }
  if (reading.isBare) {
    return refuse(
      "CDI_LEFT_OUT",
      `cannot create ${who}: the kubelet asked for the claim's CDI device, and the runtime has left it out. Switch CDI on in the runtime (enable_cdi), and see that it reads the driver's --cdi-dir`,
    );
  }
  let cpus = CpuSet.empty;
  for (const use of reading.uses) {
    const allocation = input.allocation(use.claimUid);
    if (allocation === undefined) {
      return refuse(
        "CLAIM_UNKNOWN",
        `cannot create ${who}: claim ${use.claimUid} is not prepared on this node. If the pod is not being deleted, delete and re-create it`,
      );
    }
    const claim = `claim ${allocation.claim.namespace}/${allocation.claim.name}`;
    if (allocation.state === "draining") {
      return refuse(
        "CLAIM_RELEASED",
        `cannot create ${who}: ${claim} has been released on this node; delete and re-create the pod`,
      );
    }
    if (!allocation.consumers.some((consumer) => consumer.uid === pod.uid)) {
      return refuse(
        "RESERVATION_UNKNOWN",
        `cannot create ${who}: ${claim} is not reserved for this pod (uid ${pod.uid}) as far as this node knows. The driver is reading the claim again; the kubelet retries by itself`,
      );
    }
    const other = input.otherLivingPod(use.claimUid);
    if (other !== undefined) {
      return refuse(
        "OTHER_POD_LIVES",
        `cannot create ${who}: ${claim} is in use by pod ${other.namespace}/${other.name}, and exclusive CPUs cannot be shared between pods. It is created once no container of that pod lives; use a ResourceClaimTemplate to give each pod a claim of its own`,
      );
    }
    const share = cpusOfUse(allocation, use);
    if (share === undefined) {
      return refuse(
        "REQUEST_UNKNOWN",
        `cannot create ${who}: ${claim} has no request ${use.request ?? ""} with CPUs of this driver`,
      );
    }
    cpus = cpus.union(share);
  }
  const usable = cpus.intersect(input.online);
  if (usable.isEmpty) {
    return refuse(
      "CPUS_OFFLINE",
      `cannot create ${who}: all its CPUs (${cpus.toString()}) are offline; bring one back online`,
    );
  }
  return { kind: "pin", uses: reading.uses, cpus: usable };
}
