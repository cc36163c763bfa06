import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  HealthStatus,
  NodeWatchResourcesResponseSchema,
} from "@dracpu/shared-proto/gen/kubelet/dra_health_v1alpha1_pb.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";

/** The kubelet takes what it has not heard for 30 s as unknown. */
const AGAIN_MS = 10_000;
/** To look costs a reading of the agent's whole state: changes that come together are told together. */
const GATHER_MS = 1000;
/** Longer ones are cut by the kubelet. */
const MAX_MESSAGE = 1024;

export interface DeviceHealth {
  readonly pool: string;
  readonly device: string;
  /** Why it is not healthy; empty where it is. */
  readonly why: string;
}

export interface HealthSource {
  /** All devices that are offered, or held by a claim. */
  health(): Promise<readonly DeviceHealth[]>;
  /** Calls back when it may have changed. @returns its end. */
  subscribe(listener: () => void): () => void;
}

/** The kubelet's end of a stream, as grpc-js gives it. */
export interface HealthCall {
  write(message: MessageInitShape<typeof NodeWatchResourcesResponseSchema>): boolean;
  end(): void;
  on(event: "cancelled" | "error" | "close", listener: () => void): unknown;
}

/**
 * KEP-4680: the whole list at once, again whenever it may have changed, and every {@link AGAIN_MS}. The kubelet shows it in the status of pods, and does nothing else
 * with it.
 */
export async function watchHealth(call: HealthCall, source: HealthSource, stopping: AbortSignal): Promise<void> {
  const ended = new AbortController();
  let woken = new AbortController();
  const stop = (): void => {
    ended.abort();
    woken.abort();
  };
  for (const event of ["cancelled", "error", "close"] as const) call.on(event, stop);
  stopping.addEventListener("abort", stop, { once: true });
  const unsubscribe = source.subscribe(() => woken.abort());
  try {
    while (!ended.signal.aborted && !stopping.aborted) {
      woken = new AbortController();
      const devices = await source.health();
      if (ended.signal.aborted) break;
      call.write(create(NodeWatchResourcesResponseSchema, { devices: devices.map(toWire) }));
      await pause(AGAIN_MS, woken.signal);
      await pause(GATHER_MS, ended.signal);
    }
  } finally {
    unsubscribe();
    stopping.removeEventListener("abort", stop);
    call.end();
  }
}

function toWire({ pool, device, why }: DeviceHealth): object {
  return {
    device: { poolName: pool, deviceName: device },
    health: why === "" ? HealthStatus.HEALTHY : HealthStatus.UNHEALTHY,
    lastUpdatedTime: BigInt(Math.floor(Date.now() / 1000)),
    message: why.slice(0, MAX_MESSAGE),
  };
}
