import { create } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { PROTOCOL_MAX, PROTOCOL_MIN } from "@dracpu/shared-proto/contract/names.ts";
import {
  GetStateResponseSchema,
  GetVersionResponseSchema,
  Inspect,
  type GetStateRequest,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import type { State } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { serveConnect } from "@dracpu/shared-proto/socket/serve.ts";
import type { InspectHandler } from "../enforce/contract.ts";
import { watchEvents } from "./watch.ts";

const MAX_REQUEST_BYTES = 1 << 20;
const MAX_CONNECTIONS = 64;
/** Readers that come together share one projection of the state. */
const STATE_FRESH_MS = 100;
const MAX_KEPT = 8;

/** Serves Inspect on `path`: read-only, for people and tools on the node. */
export function serveInspect(
  path: string,
  handler: InspectHandler,
  version: string,
  shutdownSignal: AbortSignal,
): Promise<() => Promise<void>> {
  const kept = new Map<string, { readonly at: number; readonly state: State }>();
  const stateFor = (filter: GetStateRequest): State => {
    const key = [filter.podUid, filter.podNamespace, filter.podName, filter.claimUid, filter.maxContainers].join("\n");
    const now = performance.now();
    const found = kept.get(key);
    if (found !== undefined && now - found.at < STATE_FRESH_MS) return found.state;
    const state = handler.state(filter);
    if (kept.size >= MAX_KEPT) kept.clear();
    kept.set(key, { at: now, state });
    return state;
  };
  const routes = (router: ConnectRouter): void => {
    router.service(Inspect, {
      getState: (request) => create(GetStateResponseSchema, { state: stateFor(request) }),
      watchEvents: (request, context) => watchEvents(handler.events, request, context.signal),
      getVersion: () =>
        create(GetVersionResponseSchema, {
          version,
          protocolMin: PROTOCOL_MIN,
          protocolMax: PROTOCOL_MAX,
          nodeVersion: process.version,
        }),
    });
  };
  return serveConnect({
    path,
    routes,
    maxRequestBytes: MAX_REQUEST_BYTES,
    maxConnections: MAX_CONNECTIONS,
    shutdownSignal,
    privateDir: false,
  });
}
