import type {
  ApplyRequest,
  ApplyResponse,
  AwaitRequest,
  AwaitResponse,
  HelloRequest,
  HelloResponse,
  ReplaceRequest,
  ReplaceResponse,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import type { Event } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import type { GetStateRequest } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import type { State } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";

/**
 * Why the agent refuses a call of the contract. Codes are closed; the control edge's `status.ts` maps them to Connect codes:
 *
 * - `epoch-too-low`, `revision-gap`, `digest-mismatch`: FAILED_PRECONDITION, answered by the driver with Hello and Replace
 * - `bad-message`: INVALID_ARGUMENT, a defect of the caller; `claims` are those without which the rest would be accepted
 * - `protocol`: FAILED_PRECONDITION, no protocol number in common
 * - `disk`: UNAVAILABLE, the agent's own file could not be written; nothing was accepted
 * - `stopping`: UNAVAILABLE
 */
export type ContractCode =
  | "epoch-too-low"
  | "revision-gap"
  | "digest-mismatch"
  | "bad-message"
  | "protocol"
  | "disk"
  | "stopping";

export class ContractFault extends Error {
  override readonly name = "ContractFault";
  readonly code: ContractCode;
  /** uids */
  readonly claims: readonly string[];
  constructor(
    code: ContractCode,
    message: string,
    options: ErrorOptions & { readonly claims?: readonly string[] } = {},
  ) {
    super(message, options);
    this.code = code;
    this.claims = options.claims ?? [];
  }
}

/** What the Control service asks of the enforcer. Faults are {@link ContractFault}s. */
export interface ControlHandler {
  hello(request: HelloRequest): HelloResponse;
  replace(request: ReplaceRequest): Promise<ReplaceResponse>;
  apply(request: ApplyRequest): Promise<ApplyResponse>;
  await(request: AwaitRequest, signal: AbortSignal): Promise<AwaitResponse>;
}

/** A bounded ring of events with ascending sequence numbers, read by any number of watchers. */
export interface EventSource {
  /** Number of the newest event; 0 before the first. */
  readonly lastSeq: bigint;
  /** Events after `seq` that are still kept, and the oldest number kept (to tell a gap). */
  after(seq: bigint): { readonly events: readonly Event[]; readonly oldestSeq: bigint };
  /** Calls back after each new event until the returned function is called. The callback must not throw. */
  subscribe(onEvent: () => void): () => void;
}

/** What the Inspect service asks of the enforcer. Reading never waits and never touches files. */
export interface InspectHandler {
  state(filter: GetStateRequest): State;
  readonly events: EventSource;
}
