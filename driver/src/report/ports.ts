import type { ResourceClaim } from "../claims/resourceclaim.ts";
import type { DeviceStatus } from "./claimstatus.ts";
import type { PodClaims } from "./requests.ts";

/** What an Event is about. */
export interface Involved {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A core/v1 Event (k8s.io/api v0.36.3, core/v1/types.go), as much of it as is written here. */
export interface KubernetesEvent {
  readonly apiVersion: "v1";
  readonly kind: "Event";
  readonly metadata: { readonly generateName: string; readonly namespace: string };
  readonly involvedObject: Involved;
  readonly reason: string;
  readonly message: string;
  readonly type: "Normal" | "Warning";
  readonly source: { readonly component: string; readonly host: string };
  readonly firstTimestamp: string;
  readonly lastTimestamp: string;
  readonly count: number;
  readonly reportingComponent: string;
  readonly reportingInstance: string;
}

export interface StatusApi {
  /** Writes what is known of a claim's allocated devices of this driver into its status. @throws Error with a sentence, and `isTransient` where trying again may help. */
  devices(claim: ResourceClaim, devices: readonly DeviceStatus[], signal: AbortSignal): Promise<void>;
}

export interface EventApi {
  /** @throws Error with a sentence. */
  write(event: KubernetesEvent, signal: AbortSignal): Promise<void>;
  /** @throws Error with a sentence, also where there is no such pod. */
  pod(namespace: string, name: string, signal: AbortSignal): Promise<PodClaims | undefined>;
}
