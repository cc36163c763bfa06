import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Event, WatchEventsResponse } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import type {
  ApplyRequestSchema,
  ApplyResponse,
  AwaitRequestSchema,
  AwaitResponse,
  HelloRequestSchema,
  HelloResponse,
  ReplaceRequestSchema,
  ReplaceResponse,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import type { AllocationRecord, MachineRecord } from "@dracpu/shared-proto/contract/records.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Allocation, NriSession } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { Ledger } from "../ledger/ledger.ts";
import type { ResourceClaim } from "../claims/resourceclaim.ts";

/** Reads claims from the API server. */
export interface ClaimReader {
  /**
   * @returns `undefined` where the API server says that there is no claim of this name; no other 404 says it.
   * @throws {ReaderFault} where it cannot be asked; transient errors are retried inside until `signal` aborts.
   */
  get(namespace: string, name: string, signal: AbortSignal): Promise<ResourceClaim | undefined>;
  /** Claims whose names are not known, by a list of all. @throws {ReaderFault} */
  find(uids: ReadonlySet<string>, signal: AbortSignal): Promise<ResourceClaim[]>;
}

/** The API server could not be asked; `message` is a sentence that names it. */
export interface ReaderFault extends Error {
  readonly isTransient: boolean;
}

export function isReaderFault(cause: unknown): cause is ReaderFault {
  return cause instanceof Error && "isTransient" in cause;
}

/** Why the agent did not do what was asked. Closed codes; `message` is a sentence that may reach a pod's Event. */
export type AgentFaultCode = "away" | "stale" | "refused" | "protocol" | "timeout";

/**
 * - `away`: no connection, connection lost, agent stopping or its disk failing; try again later
 * - `stale`: the agent wants Hello and Replace first (epoch, revision or digest)
 * - `refused`: what was said of `claims` cannot be
 * - `protocol`: no protocol number in common
 * - `timeout`: no answer within the bound of the call
 */
export class AgentFault extends Error {
  override readonly name = "AgentFault";
  readonly code: AgentFaultCode;
  /** uids of the claims that are refused; the rest would be accepted. */
  readonly claims: readonly string[];
  constructor(
    code: AgentFaultCode,
    message: string,
    options: ErrorOptions & { readonly claims?: readonly string[] } = {},
  ) {
    super(message, options);
    this.code = code;
    this.claims = options.claims ?? [];
  }
}

/** The agent's Control service as the driver sees it. All faults are {@link AgentFault}s. */
export interface AgentPort {
  hello(request: MessageInitShape<typeof HelloRequestSchema>, signal: AbortSignal): Promise<HelloResponse>;
  replace(request: MessageInitShape<typeof ReplaceRequestSchema>, signal: AbortSignal): Promise<ReplaceResponse>;
  apply(request: MessageInitShape<typeof ApplyRequestSchema>, signal: AbortSignal): Promise<ApplyResponse>;
  await(request: MessageInitShape<typeof AwaitRequestSchema>, signal: AbortSignal): Promise<AwaitResponse>;
  /** Ends (returns or throws) when the connection is lost or no heartbeat came for 15 s. */
  watchEvents(afterSeq: bigint, signal: AbortSignal): AsyncIterable<WatchEventsResponse>;
}

/** A claim as the kubelet names it (DRA v1 `Claim`). */
export interface ClaimRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** One device of a prepared claim, as the kubelet wants it (DRA v1 `Device`). */
export interface PreparedDevice {
  /** Main request names; the sub-request is stripped. */
  readonly requestNames: readonly string[];
  readonly pool: string;
  readonly device: string;
  /** Fully qualified CDI ids, `dra.k8s.io/cpu=…`. */
  readonly cdiDeviceIds: readonly string[];
  readonly shareId: string | undefined;
}

export type PrepareOutcome =
  | { readonly kind: "prepared"; readonly devices: readonly PreparedDevice[] }
  /** `message` reaches the pod as an Event. */
  | { readonly kind: "refused"; readonly message: string };

export type UnprepareOutcome = { readonly kind: "done" } | { readonly kind: "failed"; readonly message: string };

/**
 * What the kubelet edge calls. Both answer every claim they were given, never throw, and bound themselves (40 s, the
 * kubelet cancels at 45 s). Calls for different pods run at the same time.
 */
export interface DraPlugin {
  prepare(claims: readonly ClaimRef[], signal: AbortSignal): Promise<ReadonlyMap<string, PrepareOutcome>>;
  unprepare(claims: readonly ClaimRef[], signal: AbortSignal): Promise<ReadonlyMap<string, UnprepareOutcome>>;
  /** Refuses new Prepares, gives calls under way a while, then lets Prepares fail in words. Resolves when all are answered. */
  stop(): Promise<void>;
}

/** The durable record. */
export interface CheckpointPort {
  /** Durable when it resolves. Calls share writes. @throws DiskFault with a sentence; nothing was changed then. */
  save(): Promise<void>;
}

/** The claims' CDI specs, and the files that these mount. Every method throws a fault with a sentence. */
export interface CdiPort {
  write(allocation: AllocationRecord): Promise<void>;
  remove(claimUid: string): Promise<void>;
  /** uids of the claims that have all their files. */
  list(): Promise<readonly string[]>;
  /** uids of the claims that have a CDI spec. */
  named(): Promise<readonly string[]>;
  remembered(): Promise<CdiMemory>;
}

/** What the claims' files say. */
export interface CdiMemory {
  readonly allocations: readonly AllocationRecord[];
  /** Of a driver that writes no more than uid and CPUs. */
  readonly bare: readonly { readonly uid: string; readonly cpus: CpuSet }[];
  readonly unreadable: readonly { readonly file: string; readonly why: string }[];
}

export interface PrepareLog {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

export interface AgentLinkOptions {
  readonly agent: AgentPort;
  readonly ledger: Ledger;
  readonly machine: () => MachineRecord;
  readonly instance: string;
  readonly log: PrepareLog;
  /** Highest epoch ever used, from the checkpoint; and its durable change, before the first Replace with it. */
  readonly epoch: { get(): bigint; set(epoch: bigint): Promise<void> };
  onEvent(event: Event): void;
  /** After each Hello: what the agent's own file holds. */
  onAgentMemory(allocations: readonly Allocation[]): void;
  /**
   * The agent keeps a claim otherwise than it was told: containers run there. The ledger is to follow, where nothing else stands in the way.
   */
  adoptHeld(held: Allocation): void;
}

/** What is known of the agent, for people and probes. */
export interface LinkState {
  readonly connected: boolean;
  readonly why: string;
  readonly agentVersion: string;
  readonly nri: NriSession | undefined;
}
