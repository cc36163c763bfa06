/** Message types of ttrpc v1.2.7 (channel.go). */
export const REQUEST = 1;
export const RESPONSE = 2;
export const DATA = 3;

export const HEADER_LENGTH = 10;
/** Longest data of a message (channel.go, messageLengthMax). */
export const MAX_DATA = 4 << 20;
const HEAD_LENGTH = 256;
/** No sender of this protocol announces more; bytes that say so are not ttrpc. */
const MAX_BELIEVABLE = 64 << 20;

/** gRPC codes that this side uses (google/rpc/code.proto). */
export const CODE = {
  OK: 0,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
} as const;

export interface TtrpcMessage {
  readonly stream: number;
  readonly type: number;
  readonly flags: number;
  /** `undefined`: the data was longer than {@link MAX_DATA} and was skipped. */
  readonly data: Uint8Array | undefined;
  /** Of data that was skipped: its length, and its first bytes, which a request's service and method take. */
  readonly skipped?: { readonly length: number; readonly head: Uint8Array };
}

const NOTHING = new Uint8Array(0);

/** Bytes that cannot be ttrpc; the connection is of no use any more. */
export class TtrpcFault extends Error {
  override readonly name = "TtrpcFault";
}

/** Takes one connection's byte stream apart, however it is cut. Holds at most one message of {@link MAX_DATA}. */
export class TtrpcReader {
  readonly #onMessage: (message: TtrpcMessage) => void;
  readonly #header = new Uint8Array(HEADER_LENGTH);
  #have = 0;
  #data: Uint8Array = NOTHING;
  #length = 0;
  #got = 0;

  constructor(onMessage: (message: TtrpcMessage) => void) {
    this.#onMessage = onMessage;
  }

  /** @throws TtrpcFault */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#have < HEADER_LENGTH) {
        const take = Math.min(HEADER_LENGTH - this.#have, chunk.length - at);
        this.#header.set(chunk.subarray(at, at + take), this.#have);
        this.#have += take;
        at += take;
        if (this.#have < HEADER_LENGTH) return;
        this.#begin();
      } else {
        const take = Math.min(this.#length - this.#got, chunk.length - at);
        const room = Math.max(0, this.#data.length - this.#got);
        if (room > 0) this.#data.set(chunk.subarray(at, at + Math.min(take, room)), this.#got);
        this.#got += take;
        at += take;
      }
      if (this.#have === HEADER_LENGTH && this.#got === this.#length) this.#end();
    }
  }

  #begin(): void {
    this.#length = new DataView(this.#header.buffer).getUint32(0);
    if (this.#length > MAX_BELIEVABLE) {
      throw new TtrpcFault(
        `a message of ${this.#length} bytes is announced, at most ${MAX_DATA} are allowed: this is not ttrpc`,
      );
    }
    this.#data = new Uint8Array(this.#length > MAX_DATA ? HEAD_LENGTH : this.#length);
    this.#got = 0;
  }

  #end(): void {
    const view = new DataView(this.#header.buffer);
    const found = { stream: view.getUint32(4), type: view.getUint8(8), flags: view.getUint8(9) };
    const message =
      this.#length > MAX_DATA
        ? { ...found, data: undefined, skipped: { length: this.#length, head: this.#data } }
        : { ...found, data: this.#data };
    this.#have = 0;
    this.#got = 0;
    this.#length = 0;
    this.#data = NOTHING;
    this.#onMessage(message);
  }
}

/** The 10-byte header; flags are 0 for the unary calls that NRI makes. */
export function ttrpcHeader(stream: number, type: number, length: number): Uint8Array {
  const header = new Uint8Array(HEADER_LENGTH);
  const view = new DataView(header.buffer);
  view.setUint32(0, length);
  view.setUint32(4, stream);
  view.setUint8(8, type);
  return header;
}
