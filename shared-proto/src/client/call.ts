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

/** As options of yargs, for `call` of either program. */
export const CALL_OUTPUT = {
  alias: "o",
  choices: ["text", "json"],
  default: "text",
  describe: "indented for people, or one JSON document a line for machines",
} as const;

/**
 * `call METHOD [JSON]` of either program: prints each answer as it comes.
 * @throws the fault that is made of a sentence where there is no such method.
 */
export async function printCall(
  sockets: Readonly<Record<ServiceName, string>>,
  argv: Readonly<Record<string, unknown>>,
  fault: new (sentence: string) => Error,
): Promise<void> {
  const name = String(argv["method"]);
  const found = findMethod(name);
  if (found === undefined) throw new fault(`There is no method ${name}; there are ${methodNames().join(", ")}`);
  const json = typeof argv["json"] === "string" ? argv["json"] : "";
  for await (const answer of callMethod(sockets, found, json))
    console.log(JSON.stringify(answer, undefined, argv["output"] === "json" ? 0 : 2));
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
 * @throws ConnectError, or SyntaxError where `json` is not that method's request.
 */
async function* callMethod(
  sockets: Readonly<Record<ServiceName, string>>,
  found: { readonly service: ServiceName; readonly method: DescMethod },
  json: string,
): AsyncGenerator<JsonValue> {
  const { service, method } = found;
  const request = requestOf(found, json === "" ? "{}" : json);
  const client = createClient(SERVICES[service], unixTransport(sockets[service])) as unknown as Record<
    string,
    (message: unknown) => unknown
  >;
  const answer = client[method.localName]?.(request);
  if (method.methodKind === "server_streaming") {
    for await (const message of answer as AsyncIterable<never>) yield toJson(method.output, message);
  } else yield toJson(method.output, await (answer as Promise<never>));
}

function requestOf({ service, method }: { service: ServiceName; method: DescMethod }, json: string): unknown {
  try {
    return fromJson(method.input, JSON.parse(json) as JsonValue);
  } catch (cause) {
    const called = `${service}.${method.name}`;
    const why = (cause as Error).message;
    throw new SyntaxError(`Cannot use the request ${JSON.stringify(json)} of ${called}: ${why}`, { cause });
  }
}
