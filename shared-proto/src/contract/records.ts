import type { CpuSet } from "../cpuset/cpuset.ts";

/** A resource.k8s.io ResourceClaim, by name and uid. */
export interface ClaimName {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** An entry of the claim's `status.reservedFor`; `resource` is "pods" for pods. */
export interface ConsumerRecord {
  readonly resource: string;
  readonly uid: string;
  readonly name: string;
}

/** What one request of a claim got. Shares of one claim never overlap. */
export interface ShareRecord {
  /** Main request name. */
  readonly request: string;
  readonly pool: string;
  readonly device: string;
  readonly cpus: CpuSet;
}

export type AllocationPhase = "preparing" | "prepared" | "draining";

/** The wire's `Allocation`, checked, with CPU sets. `contract/validate.ts` makes it from the message. */
export interface AllocationRecord {
  readonly claim: ClaimName;
  readonly state: AllocationPhase;
  readonly consumers: readonly ConsumerRecord[];
  readonly shares: readonly ShareRecord[];
  /** Siblings kept idle: held by the claim, used by no container. */
  readonly idle: CpuSet;
  /** Asks for no load balancing (kernel lever only). */
  readonly isolated: boolean;
  readonly operationId: string;
  /** What its pod calls it, where it was made from a template. The driver's own: it is not told to the agent. */
  readonly podClaimName?: string;
}

/** The wire's `Machine`, checked, with CPU sets. */
export interface MachineRecord {
  readonly online: CpuSet;
  readonly present: CpuSet;
  readonly reserved: CpuSet;
  readonly keepShared: CpuSet;
  readonly bootId: string;
}
