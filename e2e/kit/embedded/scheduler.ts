import { randomUUID } from "node:crypto";
import type { AllocationConfig, ResourceClaim } from "@dracpu/driver/claims/resourceclaim.ts";
import type { Device } from "@dracpu/driver/slices/device.ts";
import { NODE } from "../driver.ts";
import type { FakeApiServer } from "../fakecluster/apiserver.ts";
import type { ClaimReference } from "../fakecluster/kubelet.ts";

export interface ClaimWish {
  readonly cpus: number;
  /** Of this driver, by field. */
  readonly parameters?: Readonly<Record<string, string>>;
}

/** Allocates claims on the devices that are published, and counts what is left of each. */
export class PlayedScheduler {
  readonly #api: FakeApiServer;
  readonly #taken = new Map<string, number>();

  constructor(api: FakeApiServer) {
    this.#api = api;
  }

  release(claim: ResourceClaim | undefined, cpus: number): void {
    for (const { device } of claim?.status?.allocation?.devices?.results ?? [])
      this.#taken.set(device, (this.#taken.get(device) ?? 0) - cpus);
  }

  /** The device of the published slices with most left. */
  schedule(pod: { readonly name: string }, wish: ClaimWish, ref: ClaimReference, podUid: string): ResourceClaim {
    const devices = [...this.#api.slices.values()].flatMap((slice) => slice.spec.devices ?? []);
    const left = (device: Device): number =>
      Number(device.capacity?.["dra.cpu/cpu"]?.value ?? 0) - (this.#taken.get(device.name) ?? 0);
    const [device] = devices.sort((a, b) => left(b) - left(a));
    if (device === undefined || left(device) < wish.cpus)
      throw new Error(`0/1 nodes are available: no device has ${wish.cpus} CPUs left`);
    this.#taken.set(device.name, (this.#taken.get(device.name) ?? 0) + wish.cpus);
    const consumedCapacity = { "dra.cpu/cpu": String(wish.cpus) };
    const config: AllocationConfig[] =
      wish.parameters === undefined
        ? []
        : [
            {
              source: "FromClaim",
              opaque: {
                driver: "dra.cpu",
                parameters: { apiVersion: "dra.cpu/v1alpha1", kind: "CPUParameters", ...wish.parameters },
              },
            },
          ];
    return {
      metadata: ref,
      status: {
        allocation: {
          devices: {
            results: [
              {
                request: "cpus",
                driver: "dra.cpu",
                pool: NODE,
                device: device.name,
                consumedCapacity,
                shareID: randomUUID(),
              },
            ],
            config,
          },
        },
        reservedFor: [{ resource: "pods", name: pod.name, uid: podUid }],
      },
    };
  }
}
