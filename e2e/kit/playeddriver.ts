import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Enforcer } from "@dracpu/nri-agent/enforce/enforcer.ts";
import * as names from "@dracpu/shared-proto/contract/names.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import {
  ApplyRequestSchema,
  AwaitRequestSchema,
  ReplaceRequestSchema,
  type ApplyResponse,
  type ClaimProgress,
  type ReplaceResponse,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { AllocationState, type AllocationSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";

const STATES = {
  preparing: AllocationState.PREPARING,
  prepared: AllocationState.PREPARED,
  draining: AllocationState.DRAINING,
} as const;

export interface PlayedClaim {
  readonly uid: string;
  /** CPUs by request. */
  readonly shares: Readonly<Record<string, string>>;
  /** uids of pods. */
  readonly pods: readonly string[];
  readonly isolated: boolean;
  readonly idle: string;
  state: "preparing" | "prepared" | "draining";
}

interface Said {
  readonly epoch?: bigint;
  readonly online?: string;
  readonly letGo?: boolean;
  /** Beside letGo none should be. */
  readonly withClaims?: boolean;
}

/** A driver's words to the agent, in the order in which a driver says them. */
export abstract class PlayedDriver {
  abstract readonly enforcer: Enforcer;
  abstract readonly online: CpuSet;
  abstract readonly reserved: string;
  readonly claims = new Map<string, PlayedClaim>();
  #epoch = 0n;
  #revision = 0n;
  #named = 0;

  /** Lets things settle before the answer is taken. */
  protected abstract settled<T>(work: Promise<T>): Promise<T>;

  /** The driver gives the whole truth, as a new one does. */
  async replace({
    epoch = this.#epoch + 1n,
    online = this.online.toString(),
    letGo = false,
    withClaims = !letGo,
  }: Said = {}): Promise<ReplaceResponse> {
    const request = create(ReplaceRequestSchema, {
      epoch,
      revision: 1n,
      machine: {
        online,
        present: this.online.toString(),
        reserved: this.reserved,
        bootId: "boot",
      },
      allocations: withClaims ? [...this.claims.values()].map(allocation) : [],
      letGo,
    });
    const response = await this.settled(this.enforcer.replace(request));
    this.#epoch = epoch;
    this.#revision = 1n;
    return response;
  }

  /** A claim of these pods is prepared, and told to the agent. */
  async claim(
    shares: Readonly<Record<string, string>>,
    pods: readonly string[],
    { isolated = false, idle = "" } = {},
  ): Promise<PlayedClaim> {
    this.#named += 1;
    const uid = `${String(this.#named).padStart(8, "0")}-0000-4000-8000-000000000000`;
    const claim: PlayedClaim = { uid, shares, pods, isolated, idle, state: "prepared" };
    this.claims.set(uid, claim);
    try {
      await this.apply({ upserts: [claim] });
    } catch (cause) {
      this.claims.delete(uid);
      throw cause;
    }
    return claim;
  }

  async apply({
    upserts = [],
    removals = [],
    digest = "",
    base = this.#revision,
  }: {
    upserts?: readonly PlayedClaim[];
    removals?: readonly string[];
    digest?: string;
    base?: bigint;
  }): Promise<ApplyResponse> {
    const request = create(ApplyRequestSchema, {
      epoch: this.#epoch,
      baseRevision: base,
      revision: base + 1n,
      digest,
      upserts: upserts.map(allocation),
      removals: [...removals],
    });
    const response = await this.settled(this.enforcer.apply(request));
    this.#revision += 1n;
    return response;
  }

  /** Unprepares a claim: its CPUs drain. */
  async release(claim: PlayedClaim): Promise<void> {
    claim.state = "draining";
    await this.apply({ upserts: [claim] });
  }

  /** The driver forgets a claim; where it was drained, its CPUs may be another's. */
  async forget(claim: PlayedClaim): Promise<void> {
    this.claims.delete(claim.uid);
    await this.apply({ removals: [claim.uid] });
  }

  async progress(claim: PlayedClaim): Promise<ClaimProgress> {
    const request = create(AwaitRequestSchema, { epoch: this.#epoch, revision: this.#revision, claims: [claim.uid] });
    const { claims } = await this.enforcer.await(request, new AbortController().signal);
    const [found] = claims;
    if (found === undefined) throw new Error("no progress");
    return found;
  }
}

export function cdiOf(claim: PlayedClaim, request?: string): string[] {
  const requests = request === undefined ? Object.keys(claim.shares) : [request];
  return requests.map((name) => `${names.CDI_KIND}=${names.cdiDeviceName(claim.uid, name)}`);
}

export function cpusOf(claim: PlayedClaim): CpuSet {
  return CpuSet.union(Object.values(claim.shares).map((text) => CpuSet.parse(text)));
}

export function allocation(claim: PlayedClaim): MessageInitShape<typeof AllocationSchema> {
  return {
    claim: { uid: claim.uid, namespace: "default", name: `claim-${claim.uid.slice(4, 8)}` },
    state: STATES[claim.state],
    consumers: claim.pods.map((uid) => ({ resource: "pods", uid, name: uid })),
    shares: Object.entries(claim.shares).map(([request, cpus]) => ({ request, pool: "n", device: "d", cpus })),
    idle: claim.idle,
    isolated: claim.isolated,
  };
}
