import type { Socket } from "node:net";
import { create, fromBinary, toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import { RequestSchema, ResponseSchema } from "@dracpu/shared-proto/gen/ttrpc/ttrpc_pb.ts";
import { MuxReader, muxFrames, PLUGIN_CONN, RUNTIME_CONN } from "../nri/mux.ts";
import { CODE, DATA, MAX_DATA, REQUEST, RESPONSE, TtrpcReader, ttrpcHeader, type TtrpcMessage } from "../nri/ttrpc.ts";

/** An error status for the other side, or from it. */
export class CallFault extends Error {
  override readonly name = "CallFault";
  readonly code: number;
  constructor(code: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Answers one call of the runtime: the encoded response, or a promise of it. A thrown {@link CallFault} becomes its status. */
export type Serve = (service: string, method: string, payload: Uint8Array) => Uint8Array | Promise<Uint8Array>;

/** Decoding skips what the trimmed schemas do not name; half of a large Synchronize is that. */
export function decode<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> {
  return fromBinary(schema, bytes, { readUnknownFields: false });
}

interface Pending {
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (cause: Error) => void;
}

/**
 * ttrpc in both directions over the multiplexer over one socket. A message is written in one piece, and its stream id is taken in the
 * same synchronous step, because ids must ascend on the wire.
 */
export class Channel {
  readonly #socket: Socket;
  readonly #serve: Serve;
  readonly #pending = new Map<number, Pending>();
  #nextStream = 1;
  #closed: string | undefined;
  readonly #onClosed: (why: string) => void;

  constructor(socket: Socket, serve: Serve, onClosed: (why: string) => void) {
    this.#socket = socket;
    this.#serve = serve;
    this.#onClosed = onClosed;
    const readers = new Map([
      [PLUGIN_CONN, new TtrpcReader((message) => this.#request(message))],
      [RUNTIME_CONN, new TtrpcReader((message) => this.#response(message))],
    ]);
    const mux = new MuxReader((conn, bytes) => readers.get(conn)?.push(bytes));
    socket.on("data", (chunk: Buffer) => {
      try {
        mux.push(chunk);
      } catch (cause) {
        this.close(`the runtime sent what cannot be understood: ${(cause as Error).message}`);
      }
    });
    socket.on("error", (cause: Error) => this.close(cause.message));
    socket.on("close", () => this.close("the runtime closed the connection"));
  }

  /** Calls the runtime. Rejects with a {@link CallFault} where the runtime answers an error, with an Error where the connection ends. */
  call<I extends DescMessage, O extends DescMessage>(
    service: string,
    method: string,
    input: I,
    request: MessageShape<I>,
    output: O,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      if (this.#closed !== undefined) {
        reject(new Error(this.#closed));
        return;
      }
      const stream = this.#nextStream;
      this.#nextStream += 2;
      this.#pending.set(stream, { resolve: (payload) => resolve(decode(output, payload)), reject });
      const envelope = create(RequestSchema, { service, method, payload: toBinary(input, request) });
      this.#write(RUNTIME_CONN, stream, REQUEST, toBinary(RequestSchema, envelope));
    });
  }

  close(why: string): void {
    if (this.#closed !== undefined) return;
    this.#closed = why;
    this.#socket.destroy();
    for (const pending of this.#pending.values()) pending.reject(new Error(why));
    this.#pending.clear();
    this.#onClosed(why);
  }

  #request(message: TtrpcMessage): void {
    if (message.type !== REQUEST) {
      // Unary calls only: data for a stream that was never opened, or a type of a later protocol.
      if (message.type === DATA)
        this.#fail(
          message.stream,
          CODE.INVALID_ARGUMENT,
          `dra.cpu: data for stream ${message.stream}, which no request has opened; calls are of one message`,
        );
      return;
    }
    if (message.data === undefined) {
      const { head = new Uint8Array(0), length = 0 } = message.skipped ?? {};
      this.#fail(
        message.stream,
        CODE.RESOURCE_EXHAUSTED,
        `dra.cpu: the request of ${methodIn(head)} has ${length} bytes; at most ${MAX_DATA} are taken`,
      );
      return;
    }
    let answer: Uint8Array | Promise<Uint8Array>;
    try {
      const request = decode(RequestSchema, message.data);
      answer = this.#serve(request.service, request.method, request.payload);
    } catch (cause) {
      this.#failWith(message.stream, cause);
      return;
    }
    if (answer instanceof Promise) {
      answer.then(
        (payload) => this.#succeed(message.stream, payload),
        (cause: unknown) => this.#failWith(message.stream, cause),
      );
    } else this.#succeed(message.stream, answer);
  }

  #response(message: TtrpcMessage): void {
    if (message.type !== RESPONSE) return;
    const pending = this.#pending.get(message.stream);
    if (pending === undefined) return;
    this.#pending.delete(message.stream);
    if (message.data === undefined) {
      const why = `the runtime's answer has ${message.skipped?.length ?? 0} bytes; at most ${MAX_DATA} are taken`;
      pending.reject(new CallFault(CODE.RESOURCE_EXHAUSTED, why));
      return;
    }
    try {
      const response = decode(ResponseSchema, message.data);
      const { status } = response;
      if (status !== undefined && status.code !== CODE.OK) pending.reject(new CallFault(status.code, status.message));
      else pending.resolve(response.payload);
    } catch (cause) {
      pending.reject(new Error(`the runtime's answer cannot be read: ${(cause as Error).message}`, { cause }));
    }
  }

  #succeed(stream: number, payload: Uint8Array): void {
    this.#write(PLUGIN_CONN, stream, RESPONSE, toBinary(ResponseSchema, create(ResponseSchema, { payload })));
  }

  #failWith(stream: number, cause: unknown): void {
    if (cause instanceof CallFault) this.#fail(stream, cause.code, cause.message);
    else this.#fail(stream, CODE.INVALID_ARGUMENT, `dra.cpu: the request cannot be read: ${(cause as Error).message}`);
  }

  #fail(stream: number, code: number, message: string): void {
    this.#write(
      PLUGIN_CONN,
      stream,
      RESPONSE,
      toBinary(ResponseSchema, create(ResponseSchema, { status: { code, message } })),
    );
  }

  #write(conn: number, stream: number, type: number, data: Uint8Array): void {
    if (this.#closed === undefined) this.#socket.write(muxFrames(conn, ttrpcHeader(stream, type, data.length), data));
  }
}

/** The method of a request that is not whole: the second of its members, behind the service's name. */
function methodIn(head: Uint8Array): string {
  try {
    const reader = new BinaryReader(head);
    for (;;) {
      const [no, type] = reader.tag();
      if (no === RequestSchema.field.method.number) return reader.string().slice(0, 100);
      if (no === RequestSchema.field.payload.number) return "a method that it names last";
      reader.skip(type);
    }
  } catch {
    return "a method that cannot be read";
  }
}
