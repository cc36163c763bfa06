import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ShareRecord } from "@dracpu/shared-proto/contract/records.ts";
import type { ResourceClaim } from "../claims/resourceclaim.ts";
import type { OwnResult } from "../claims/decide.ts";
import type { PrepareLog } from "../prepare/ports.ts";
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
    const cpus = all.intersect(candidates.get(result.device) ?? all).toString();
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
}

/** Writes `status.devices` of prepared claims, for people. Nothing waits for it, and it may be lost. */
export class ClaimStatus {
  readonly #o: ClaimStatusOptions;
  #said = false;

  constructor(options: ClaimStatusOptions) {
    this.#o = options;
  }

  tell(claim: ResourceClaim, results: readonly OwnResult[], shares: readonly ShareRecord[], signal: AbortSignal): void {
    const { api, driver, candidates, log, now } = this.#o;
    const devices = statusOf(claim, results, shares, candidates(), driver, now());
    if (devices.length === 0) return;
    api.devices(claim, devices, signal).catch((cause: unknown) => {
      if (!this.#said)
        log.warn("claims' status cannot be written; people see no CPUs in it", { cause: (cause as Error).message });
      this.#said = true;
    });
  }
}
