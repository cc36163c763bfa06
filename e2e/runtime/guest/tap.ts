import { createConnection, createServer, type Socket } from "node:net";
import { fromBinary } from "@bufbuild/protobuf";
import { MuxReader, PLUGIN_CONN } from "@dracpu/nri-agent/nri/mux.ts";
import { REQUEST, RESPONSE, TtrpcReader } from "@dracpu/nri-agent/nri/ttrpc.ts";
import { PostCreateContainerRequestSchema } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { RequestSchema } from "@dracpu/shared-proto/gen/ttrpc/ttrpc_pb.ts";

export interface Start {
  readonly container: string;
  /** It names a device of ours. */
  readonly ofClaim: boolean;
  /** From the last byte of the request to the last of the answer. */
  readonly ms: number;
}

/** Stands between the runtime and the agent, hands on every byte as it is, and notes how long the runtime waits for StartContainer. */
export class NriTap {
  readonly starts: Start[] = [];
  readonly #target: string;

  /** @param target the runtime's own NRI socket. */
  constructor(target: string) {
    this.#target = target;
  }

  listen(path: string): Promise<void> {
    const server = createServer((agent) => this.#join(agent, createConnection(this.#target)));
    return new Promise((resolve) => {
      server.listen(path, resolve);
    });
  }

  #join(agent: Socket, runtime: Socket): void {
    const asked = new Map<number, { readonly at: number; readonly container: string; readonly ofClaim: boolean }>();
    const requests = new TtrpcReader(({ stream, type, data }) => {
      if (type !== REQUEST || data === undefined) return;
      const at = performance.now();
      const { method, payload } = fromBinary(RequestSchema, data);
      if (method !== "StartContainer") return;
      const { container } = fromBinary(PostCreateContainerRequestSchema, payload);
      const ofClaim = (container?.CDIDevices.length ?? 0) > 0;
      asked.set(stream, { at, container: container?.name ?? "", ofClaim });
    });
    const answers = new TtrpcReader(({ stream, type }) => {
      const one = asked.get(stream);
      if (type !== RESPONSE || one === undefined) return;
      asked.delete(stream);
      const { at, ...start } = one;
      this.starts.push({ ...start, ms: performance.now() - at });
    });
    const toAgent = new MuxReader((conn, bytes) => conn === PLUGIN_CONN && requests.push(bytes));
    const toRuntime = new MuxReader((conn, bytes) => conn === PLUGIN_CONN && answers.push(bytes));
    pass(runtime, agent, toAgent);
    pass(agent, runtime, toRuntime);
  }
}

function pass(from: Socket, to: Socket, reader: MuxReader): void {
  from.on("data", (bytes: Buffer) => {
    to.write(bytes);
    reader.push(bytes);
  });
  from.on("close", () => to.destroy());
  from.on("error", () => to.destroy());
}

/** NaN of none. */
export function median(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[times.length >> 1] ?? NaN;
}

/** `12 times: p50 20 ms, max 41 ms`; of none it says so. */
export function spread(times: readonly number[]): string {
  return times.length === 0
    ? "never"
    : `${times.length} times: p50 ${median(times).toFixed(1)} ms, max ${Math.max(...times).toFixed(1)} ms`;
}
