import type { ConnectRouter } from "@connectrpc/connect";
import { Control } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { serveConnect } from "@dracpu/shared-proto/socket/serve.ts";
import type { ControlHandler, InspectHandler } from "../enforce/contract.ts";
import { watchEvents } from "../inspect/watch.ts";
import { toStatus } from "./status.ts";

/** A Replace of 2,000 claims is well below this. */
const MAX_REQUEST_BYTES = 16 << 20;
const MAX_CONNECTIONS = 64;

/** Serves Control on `path`, for the driver alone. */
export function serveControl(
  path: string,
  handler: ControlHandler & Pick<InspectHandler, "events">,
  shutdownSignal: AbortSignal,
): Promise<() => Promise<void>> {
  const guarded =
    <I, O>(run: (request: I, signal: AbortSignal) => O | Promise<O>) =>
    async (request: I, context: { readonly signal: AbortSignal }): Promise<O> => {
      try {
        return await run(request, context.signal);
      } catch (cause) {
        throw toStatus(cause);
      }
    };
  const routes = (router: ConnectRouter): void => {
    router.service(Control, {
      hello: guarded((request) => handler.hello(request)),
      replace: guarded((request) => handler.replace(request)),
      apply: guarded((request) => handler.apply(request)),
      await: guarded((request, signal) => handler.await(request, signal)),
      watchEvents: (request, context) => watchEvents(handler.events, request, context.signal),
    });
  };
  return serveConnect({
    path,
    routes,
    maxRequestBytes: MAX_REQUEST_BYTES,
    maxConnections: MAX_CONNECTIONS,
    shutdownSignal,
    privateDir: true,
  });
}
