/** The runtime calls the plugin on this connection id (github.com/containerd/nri v0.12.3, pkg/net/multiplex). */
export const PLUGIN_CONN = 1;
/** The plugin calls the runtime on this one. */
export const RUNTIME_CONN = 2;

const HEADER = 8;
/** No sender of this protocol announces more; bytes that say so are no frames of it. */
const MAX_BELIEVABLE = 64 << 20;

/** Bytes that cannot be the multiplexer's; the connection is of no use any more. */
export class MuxFault extends Error {
  override readonly name = "MuxFault";
}

/**
 * Takes the multiplexer's frames apart: 4 bytes connection id, 4 bytes length, both big-endian, then the payload. What
 * belongs to one connection is a byte stream, so pieces are handed on as they come and nothing is buffered here.
 */
export class MuxReader {
  readonly #onBytes: (conn: number, bytes: Uint8Array) => void;
  readonly #header = new Uint8Array(HEADER);
  #have = 0;
  #conn = 0;
  #left = 0;

  constructor(onBytes: (conn: number, bytes: Uint8Array) => void) {
    this.#onBytes = onBytes;
  }

  /** @throws MuxFault, and what the receiver throws. */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const take = Math.min(this.#left, chunk.length - at);
        this.#onBytes(this.#conn, chunk.subarray(at, at + take));
        this.#left -= take;
        at += take;
        continue;
      }
      const take = Math.min(HEADER - this.#have, chunk.length - at);
      this.#header.set(chunk.subarray(at, at + take), this.#have);
      this.#have += take;
      at += take;
      if (this.#have === HEADER) {
        const view = new DataView(this.#header.buffer);
        this.#conn = view.getUint32(0);
        this.#left = view.getUint32(4);
        this.#have = 0;
        if (this.#left > MAX_BELIEVABLE)
          throw new MuxFault(
            `a frame of ${this.#left} bytes is announced for connection ${this.#conn}, at most ${MAX_BELIEVABLE} are believed: these are no frames of NRI`,
          );
      }
    }
  }
}

/**
 * One message as the runtime's Go reader needs it: the ttrpc header in a mux frame of its own, the payload in a second. A single
 * frame over 4,096 bytes would kill the connection, and more than 256 frames overflow its queue.
 */
export function muxFrames(conn: number, header: Uint8Array, payload: Uint8Array): Uint8Array {
  const second = payload.length === 0 ? 0 : HEADER + payload.length;
  const out = new Uint8Array(HEADER + header.length + second);
  const view = new DataView(out.buffer);
  view.setUint32(0, conn);
  view.setUint32(4, header.length);
  out.set(header, HEADER);
  if (second > 0) {
    const at = HEADER + header.length;
    view.setUint32(at, conn);
    view.setUint32(at + 4, payload.length);
    out.set(payload, at + HEADER);
  }
  return out;
}
