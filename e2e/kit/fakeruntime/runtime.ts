import { createServer, type Server, type Socket } from "node:net";
import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  ConfigureRequestSchema,
  ConfigureResponseSchema,
  CreateContainerRequestSchema,
  CreateContainerResponseSchema,
  EmptySchema,
  RegisterPluginRequestSchema,
  StateChangeEventSchema,
  StopContainerRequestSchema,
  StopContainerResponseSchema,
  SynchronizeRequestSchema,
  SynchronizeResponseSchema,
  UpdateContainersRequestSchema,
  UpdateContainersResponseSchema,
  type ContainerUpdate,
  type Event,
} from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { RequestSchema, ResponseSchema } from "@dracpu/shared-proto/gen/ttrpc/ttrpc_pb.ts";

const PLUGIN = "nri.pkg.api.v1alpha1.Plugin";
/** What a Go ttrpc client writes first of a message; the rest goes into a second multiplexer frame. */
const FIRST_FRAME = 4096;

type PodInit = MessageInitShape<typeof SynchronizeRequestSchema> extends { pods?: (infer P)[] } ? P : never;
type ContainerInit = MessageInitShape<typeof SynchronizeRequestSchema> extends { containers?: (infer C)[] } ? C : never;

/** An error status that the plugin answered. */
export class PluginRefusal extends Error {
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * The runtime's side of NRI, speaking its bytes as the Go library frames them: ids per direction, header and payload cut at 4,096 bytes. It decides
 * nothing: a test says what happens next, and gets the plugin's answers.
 */
export class FakeRuntime {
  readonly path: string;
  readonly nriVersion: string;
  readonly #server: Server;
  #socket: Socket | undefined;
  #rest: Buffer = Buffer.alloc(0);
  readonly #streams = new Map<number, Buffer>();
  #nextStream = 1;
  readonly #pending = new Map<number, { resolve: (payload: Uint8Array) => void; reject: (cause: Error) => void }>();
  #onPlugin: (() => void) | undefined;
  /** Masks that UpdateContainers asked for, in order. */
  readonly updates: ContainerUpdate[] = [];
  /** Called for each of them. */
  onUpdate: (update: ContainerUpdate) => void = () => {};
  /** The plugin's connection is gone. */
  onLost: () => void = () => {};
  events = 0;
  connections = 0;
  /** Of the call that was answered last: milliseconds between the request's bytes and the answer's. */
  tookMs = 0;

  constructor(path: string, nriVersion = "v0.12.3") {
    this.path = path;
    this.nriVersion = nriVersion;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  listen(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.listen(this.path, resolve);
    });
  }

  /** The next plugin that registers, configured but not yet synchronized. */
  plugin(): Promise<void> {
    return new Promise((resolve) => {
      this.#onPlugin = resolve;
    });
  }

  async close(): Promise<void> {
    this.#socket?.destroy();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  drop(): void {
    this.#socket?.destroy();
  }

  /** Bytes as they are, past every framing. */
  raw(bytes: Uint8Array): void {
    this.#socket?.write(bytes);
  }

  async synchronize(pods: PodInit[], containers: ContainerInit[], parts = 1): Promise<ContainerUpdate[]> {
    const size = Math.ceil(containers.length / parts);
    for (let n = 0; n < parts - 1; n++) {
      const answer = await this.call(
        "Synchronize",
        SynchronizeRequestSchema,
        { pods: n === 0 ? pods : [], containers: containers.slice(n * size, (n + 1) * size), more: true },
        SynchronizeResponseSchema,
      );
      if (!answer.more || answer.update.length > 0) throw new Error("plugin does not handle split sync requests");
    }
    const last = { pods: parts === 1 ? pods : [], containers: containers.slice((parts - 1) * size) };
    return (await this.call("Synchronize", SynchronizeRequestSchema, last, SynchronizeResponseSchema)).update;
  }

  create(pod: PodInit, container: ContainerInit): Promise<MessageShape<typeof CreateContainerResponseSchema>> {
    return this.call(
      "CreateContainer",
      CreateContainerRequestSchema,
      { pod, container },
      CreateContainerResponseSchema,
    );
  }

  stop(pod: PodInit, container: ContainerInit): Promise<MessageShape<typeof StopContainerResponseSchema>> {
    return this.call("StopContainer", StopContainerRequestSchema, { pod, container }, StopContainerResponseSchema);
  }

  /** An event of its own RPC (NRI >= 0.12): `StartContainer`, `PostStartContainer`, `RemoveContainer` … */
  async event(method: string, pod: PodInit, container: ContainerInit): Promise<void> {
    await this.call(method, CreateContainerRequestSchema, { pod, container }, EmptySchema);
  }

  /** The same as older runtimes send it. */
  async stateChange(event: Event, pod: PodInit, container: ContainerInit): Promise<void> {
    await this.call("StateChange", StateChangeEventSchema, { event, pod, container }, EmptySchema);
  }

  async call<I extends DescMessage, O extends DescMessage>(
    method: string,
    input: I,
    request: MessageInitShape<I>,
    output: O,
  ): Promise<MessageShape<O>> {
    return fromBinary(output, await this.ask(method, toBinary(input, create(input, request))));
  }

  /** A call with any bytes as its request. @returns the answer's. */
  ask(method: string, payload: Uint8Array, service = PLUGIN): Promise<Uint8Array> {
    const stream = this.#nextStream;
    this.#nextStream += 2;
    const bytes = toBinary(RequestSchema, create(RequestSchema, { service, method, payload }));
    const began = performance.now();
    return new Promise((resolve, reject) => {
      const answered = (answer: Uint8Array): void => {
        this.tookMs = performance.now() - began;
        resolve(answer);
      };
      this.#pending.set(stream, { resolve: answered, reject });
      this.#message(1, stream, 1, bytes);
    });
  }

  #accept(socket: Socket): void {
    this.connections += 1;
    this.#socket = socket;
    this.#rest = Buffer.alloc(0);
    this.#streams.clear();
    this.#nextStream = 1;
    socket.on("data", (chunk: Buffer) => this.#data(chunk));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => {
      for (const one of this.#pending.values()) one.reject(new Error("ttrpc: closed"));
      this.#pending.clear();
      if (this.#socket === socket) this.onLost();
    });
  }

  #data(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 8) {
      const conn = this.#rest.readUInt32BE(0);
      const length = this.#rest.readUInt32BE(4);
      if (this.#rest.length < 8 + length) return;
      // The Go reader on top has a buffer of this size, and a frame that begins a message must fit it.
      if ((this.#streams.get(conn)?.length ?? 0) === 0 && length > FIRST_FRAME)
        throw new Error("ENOMEM: a frame that begins a message is too long");
      this.#streams.set(
        conn,
        Buffer.concat([this.#streams.get(conn) ?? Buffer.alloc(0), this.#rest.subarray(8, 8 + length)]),
      );
      this.#rest = this.#rest.subarray(8 + length);
      this.#messages(conn);
    }
  }

  #messages(conn: number): void {
    for (;;) {
      const bytes = this.#streams.get(conn) ?? Buffer.alloc(0);
      if (bytes.length < 10 || bytes.length < 10 + bytes.readUInt32BE(0)) return;
      const length = bytes.readUInt32BE(0);
      const data = bytes.subarray(10, 10 + length);
      this.#streams.set(conn, bytes.subarray(10 + length));
      if (conn === 1) this.#answered(bytes.readUInt32BE(4), data);
      else this.#asked(bytes.readUInt32BE(4), data);
    }
  }

  #answered(stream: number, data: Uint8Array): void {
    const response = fromBinary(ResponseSchema, data);
    const pending = this.#pending.get(stream);
    this.#pending.delete(stream);
    const code = response.status?.code ?? 0;
    if (code !== 0) pending?.reject(new PluginRefusal(code, response.status?.message ?? ""));
    else pending?.resolve(response.payload);
  }

  #asked(stream: number, data: Uint8Array): void {
    const request = fromBinary(RequestSchema, data);
    let payload = toBinary(EmptySchema, create(EmptySchema));
    if (request.method === "RegisterPlugin") {
      fromBinary(RegisterPluginRequestSchema, request.payload);
      setImmediate(() => void this.#configure());
    } else if (request.method === "UpdateContainers") {
      const { update } = fromBinary(UpdateContainersRequestSchema, request.payload);
      this.updates.push(...update);
      for (const one of update) this.onUpdate(one);
      payload = toBinary(UpdateContainersResponseSchema, create(UpdateContainersResponseSchema));
    }
    this.#message(2, stream, 2, toBinary(ResponseSchema, create(ResponseSchema, { payload })));
  }

  async #configure(): Promise<void> {
    const request = {
      runtimeName: "containerd",
      runtimeVersion: "v2.4.2",
      requestTimeout: 2000n,
      NRIVersion: this.nriVersion,
    };
    this.events = (await this.call("Configure", ConfigureRequestSchema, request, ConfigureResponseSchema)).events;
    this.#onPlugin?.();
  }

  #message(conn: number, stream: number, type: number, data: Uint8Array): void {
    const bytes = Buffer.alloc(10 + data.length);
    bytes.writeUInt32BE(data.length, 0);
    bytes.writeUInt32BE(stream, 4);
    bytes[8] = type;
    bytes.set(data, 10);
    for (const part of [bytes.subarray(0, FIRST_FRAME), bytes.subarray(FIRST_FRAME)]) {
      if (part.length === 0) continue;
      const header = Buffer.alloc(8);
      header.writeUInt32BE(conn, 0);
      header.writeUInt32BE(part.length, 4);
      this.#socket?.write(Buffer.concat([header, part]));
    }
  }
}
