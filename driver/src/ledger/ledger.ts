import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import type { OwnResult } from "../claims/decide.ts";
import type { ClaimPhase } from "./phase.ts";

export interface Entry {
  readonly claim: AllocationRecord["claim"];
  readonly phase: ClaimPhase;
  readonly consumers: AllocationRecord["consumers"];
  readonly shares: AllocationRecord["shares"];
  readonly idle: CpuSet;
  readonly isolated: boolean;
  /** What the kubelet is answered; empty where it is not known any more (rebuilt from CDI files). */
  readonly results: readonly OwnResult[];
  readonly operationId: string;
  /** What its pod calls it, where it was made from a template. */
  readonly podClaimName?: string;
  /** How its CPUs were chosen; not known of a claim that was rebuilt or adopted. */
  readonly chosen?: Choice;
  /** Members of its checkpoint that a later version added. */
  readonly later?: Later;
}

/** For people who ask why a claim has these CPUs. */
export interface Choice {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  /** CPUs that nobody held then, and nobody before it in the queue waited for. */
  readonly free: CpuSet;
  /** `request: wishes`, by request. */
  readonly wishes: readonly string[];
}

/** What a version does not know, as it was read. */
export type Later = Readonly<Record<string, unknown>>;

/** Which claim holds which CPUs. In memory; the checkpoint makes it durable. No CPU is ever in two entries. */
export class Ledger {
  readonly #entries = new Map<string, Entry>();

  get(uid: string): Entry | undefined {
    return this.#entries.get(uid);
  }

  entries(): Entry[] {
    return [...this.#entries.values()];
  }

  /** @throws Error where a CPU of it is another's: a defect, never to be papered over. */
  put(entry: Entry): void {
    const mine = cpusOf(entry);
    for (const other of this.#entries.values()) {
      if (other.claim.uid !== entry.claim.uid && cpusOf(other).overlaps(mine)) {
        throw new Error(
          `CPUs ${cpusOf(other).intersect(mine).toString()} of claim ${entry.claim.namespace}/${entry.claim.name} are held by claim ${other.claim.namespace}/${other.claim.name}`,
        );
      }
    }
    this.#entries.set(entry.claim.uid, entry);
  }

  remove(uid: string): void {
    this.#entries.delete(uid);
  }

  held(): CpuSet {
    return CpuSet.union(this.entries().map(cpusOf));
  }

  /** `a/claim (CPUs 2-3), b/other (CPUs 4, being released)`; who to look at when CPUs are short. */
  holders(among: CpuSet): string {
    return this.entries()
      .filter((entry) => cpusOf(entry).overlaps(among))
      .map((entry) => {
        const leaving = entry.phase === "draining" ? ", being released" : "";
        return `${entry.claim.namespace}/${entry.claim.name} (CPUs ${cpusOf(entry).toString()}${leaving})`;
      })
      .join(", ");
  }
}

/** All CPUs that the claim keeps from others. */
export function cpusOf(entry: Pick<Entry, "shares" | "idle">): CpuSet {
  return CpuSet.union([...entry.shares.map((share) => share.cpus), entry.idle]);
}

/** The entry as the agent is told, and as its CDI file remembers it. */
export function toAllocation(entry: Entry): AllocationRecord {
  return {
    claim: entry.claim,
    state: entry.phase === "draining" ? "draining" : entry.phase === "prepared" ? "prepared" : "preparing",
    consumers: entry.consumers,
    shares: entry.shares,
    idle: entry.idle,
    isolated: entry.isolated,
    operationId: entry.operationId,
    ...(entry.podClaimName === undefined ? {} : { podClaimName: entry.podClaimName }),
  };
}
