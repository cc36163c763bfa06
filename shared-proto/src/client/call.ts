import { fromJson, toJson, type DescMethod, type JsonValue } from "@bufbuild/protobuf";
import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { Control } from "../gen/dracpu/agent/v1/control_pb.ts";
import { Inspect } from "../gen/dracpu/agent/v1/inspect_pb.ts";

export type ServiceName = "Inspect" | "Control";

const SERVICES = { Inspect, Control } as const;

/** Names of all methods as `Service.Method`. */
export function methodNames(): string[] {
  return Object.entries(SERVICES).flatMap(([service, desc]) =>
    desc.methods.map((method) => `${service}.${method.name}`),
  );
}

/** Connect over HTTP/1.1 on a Unix socket. */
export function unixTransport(path: string): Transport {
  return createConnectTransport({
    httpVersion: "1.1",
    baseUrl: "http://localhost",
    acceptCompression: [],
    nodeOptions: { socketPath: path },
  });
}

/** Finds `GetState`, `Inspect.GetState`, in any case. A method of both services is Inspect's unless Control is named. */
export function findMethod(name: string): { service: ServiceName; method: DescMethod } | undefined {
  const [first = "", second] = name.includes(".") ? name.split(".", 2) : [undefined, name];
  for (const service of ["Inspect", "Control"] as const) {
    if (first !== "" && first.toLowerCase() !== service.toLowerCase()) continue;
    const method = SERVICES[service].methods.find((one) => one.name.toLowerCase() === (second ?? "").toLowerCase());
    if (method !== undefined) return { service, method };
  }
  return undefined;
}

/**
 * Calls a method with JSON and gives its answers as JSON: one, or one after the other for a stream.
 * @throws ConnectError, or Error where `json` is not that method's request.
 */
export async function* callMethod(
  sockets: Readonly<Record<ServiceName, string>>,
  found: { readonly service: ServiceName; readonly method: DescMethod },
  json: string,
): AsyncGenerator<JsonValue> {
  const { service, method } = found;
  const request = fromJson(method.input, JSON.parse(json === "" ? "{}" : json) as JsonValue);
  const client = createClient(SERVICES[service], unixTransport(sockets[service])) as unknown as Record<
    string,
    (message: unknown) => unknown
  >;
  const answer = client[method.localName]?.(request);
  if (method.methodKind === "server_streaming") {
    for await (const message of answer as AsyncIterable<never>) yield toJson(method.output, message);
  } else yield toJson(method.output, await (answer as Promise<never>));
}
