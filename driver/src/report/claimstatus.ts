import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ShareRecord } from "@dracpu/shared-proto/contract/records.ts";
import { Backoff, pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { readResults, type OwnResult } from "../claims/decide.ts";
import type { ResourceClaim } from "../claims/resourceclaim.ts";
import type { Entry } from "../ledger/ledger.ts";
import { isReaderFault, type PrepareLog } from "../prepare/ports.ts";
import type { StatusApi } from "./ports.ts";

/** An entry of a claim's `status.devices` (KEP-4817; k8s.io/api v0.36.3, resource/v1/types.go, AllocatedDeviceStatus). */
export interface DeviceStatus {
  readonly driver: string;
  readonly pool: string;
  readonly device: string;
  readonly shareID?: string;
  readonly data: { readonly request: string; readonly cpus: string };
  readonly conditions: readonly {
    readonly type: "Ready";
    readonly status: "True";
    readonly reason: "Enforced";
    readonly message: string;
    readonly lastTransitionTime: string;
  }[];
}

/**
 * Which CPUs each allocated device of a prepared claim stands for.
 *
 * @param candidates CPUs behind a device's name: a request with several devices has its CPUs from all of them.
 */
export function statusOf(
  claim: ResourceClaim,
  results: readonly OwnResult[],
  shares: readonly ShareRecord[],
  candidates: ReadonlyMap<string, CpuSet>,
  driver: string,
  now: number,
): DeviceStatus[] {
  return results.flatMap((result) => {
    // In individual mode a request has a share for each of its devices.
    const all = CpuSet.union(shares.filter((one) => one.request === result.request).map((one) => one.cpus));
    if (result.count === 0 || all.isEmpty) return [];
    // CPUs behind a name change with the machine and the settings; those of a claim do not.
    const isAlone = results.every((one) => one === result || one.request !== result.request);
    const cpus = (isAlone ? all : all.intersect(candidates.get(result.device) ?? all)).toString();
    return [
      {
        driver,
        pool: result.pool,
        device: result.device,
        ...(result.shareId === undefined ? {} : { shareID: result.shareId }),
        data: { request: result.request, cpus },
        conditions: [
          {
            type: "Ready" as const,
            status: "True" as const,
            reason: "Enforced" as const,
            message: `CPUs ${cpus} are held for ${claim.metadata.namespace}/${claim.metadata.name} alone`,
            lastTransitionTime: new Date(now).toISOString().replace(/\.\d+Z$/, "Z"),
          },
        ],
      },
    ];
  });
}

export interface ClaimStatusOptions {
  readonly api: StatusApi;
  readonly driver: string;
  readonly candidates: () => ReadonlyMap<string, CpuSet>;
  readonly log: PrepareLog;
  /** Milliseconds since 1970. */
  now(): number;
  /** What this node holds for a claim; `undefined` ends the tries to say so. */
  entry(uid: string): Entry | undefined;
}

/** Writes `status.devices` of prepared claims, for people. Nothing waits for it; it is tried until it is there, or the claim has no CPUs any more. */
export class ClaimStatus {
  readonly #o: ClaimStatusOptions;
  readonly #retry: { readonly firstMs: number; readonly maxMs: number };
  /** By claim's uid. */
  readonly #waiting = new Map<string, { readonly claim: ResourceClaim; readonly devices: readonly DeviceStatus[] }>();
  #writing = false;
  /** Whoever is new does not wait for those that failed. */
  #wake: () => void = () => {};
  #said = "";

  constructor(options: ClaimStatusOptions, retry = { firstMs: 1000, maxMs: 60_000 }) {
    this.#o = options;
    this.#retry = retry;
  }

  tell(claim: ResourceClaim, results: readonly OwnResult[], shares: readonly ShareRecord[], signal: AbortSignal): void {
    const { driver, candidates, now } = this.#o;
    const devices = statusOf(claim, results, shares, candidates(), driver, now());
    if (devices.length === 0) return;
    this.#waiting.set(claim.metadata.uid, { claim, devices });
    this.#wake();
    if (!this.#writing) void this.#write(signal);
  }

  /** A claim was read for another reason: what an earlier life of this driver did not come to say is said now. */
  seen(claim: ResourceClaim, signal: AbortSignal): void {
    const entry = this.#o.entry(claim.metadata.uid);
    if (entry?.phase !== "prepared" || this.#waiting.has(claim.metadata.uid)) return;
    const read = readResults(claim, this.#o.driver);
    if (read.kind !== "results") return;
    const isSaid = read.results.every(
      ({ count, pool, device, shareId }) =>
        count === 0 ||
        claim.status?.devices?.some(
          (one) =>
            one.driver === this.#o.driver && one.pool === pool && one.device === device && one.shareID === shareId,
        ) === true,
    );
    if (!isSaid) this.tell(claim, read.results, entry.shares, signal);
  }

  async #write(signal: AbortSignal): Promise<void> {
    this.#writing = true;
    const backoff = new Backoff(this.#retry.firstMs, this.#retry.maxMs);
    while (this.#waiting.size > 0 && !signal.aborted) {
      for (const [uid, waiting] of this.#waiting) {
        const phase = this.#o.entry(uid)?.phase;
        const isOver = phase === undefined || phase === "draining" || (await this.#try(waiting, signal));
        // Meanwhile there may be something else to say of it.
        if (isOver && this.#waiting.get(uid) === waiting) this.#waiting.delete(uid);
      }
      if (this.#waiting.size === 0) break;
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      await pause(backoff.nextMs(), AbortSignal.any([signal, woken.signal]));
    }
    this.#writing = false;
  }

  /** @returns whether no other try is of use. */
  async #try(
    { claim, devices }: { readonly claim: ResourceClaim; readonly devices: readonly DeviceStatus[] },
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      await this.#o.api.devices(claim, devices, signal);
      this.#said = "";
      return true;
    } catch (cause) {
      const why = (cause as Error).message;
      if (why !== this.#said && !signal.aborted)
        this.#o.log.warn("a claim's status cannot be written; people see no CPUs in it", {
          claim: `${claim.metadata.namespace}/${claim.metadata.name}`,
          claimUID: claim.metadata.uid,
          cause: why,
        });
      this.#said = why;
      return isReaderFault(cause) && !cause.isTransient;
    }
  }
}
