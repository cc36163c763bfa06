import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** SynchronizeRequest, with its pods and containers as they came: most of a container is of no use here, and thousands at once are a heap of it. */
export interface SynchronizePart {
  /** Each a PodSandbox; views of the bytes read. */
  readonly pods: readonly Uint8Array[];
  /** Each a Container. */
  readonly containers: readonly Uint8Array[];
  readonly more: boolean;
}

/** Field numbers of SynchronizeRequest, pkg/api/api.proto of NRI 0.12.3. @throws Error where the bytes are no protobuf message. */
export function readSynchronizePart(bytes: Uint8Array): SynchronizePart {
  const pods: Uint8Array[] = [];
  const containers: Uint8Array[] = [];
  let more = false;
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1 && type === WireType.LengthDelimited) pods.push(reader.bytes());
    else if (field === 2 && type === WireType.LengthDelimited) containers.push(reader.bytes());
    else if (field === 3 && type === WireType.Varint) more = reader.bool();
    else reader.skip(type, field);
  }
  return { pods, containers, more };
}

/** Field number of Container.env, as above. */
const ENV = 8;

/**
 * A Container as it came, without the environment entries that begin with none of `prefixes`: hundreds of containers have tens of thousands of them, and of a Synchronize's
 * decoding making strings of these was the most.
 *
 * @throws Error where the bytes are no protobuf message.
 */
export function withoutOtherEnvironment(bytes: Uint8Array, prefixes: readonly Uint8Array[]): Uint8Array {
  const reader = new BinaryReader(bytes);
  let kept: Uint8Array | undefined;
  let length = 0;
  let from = 0;
  while (reader.pos < reader.len) {
    const begin = reader.pos;
    const [field, type] = reader.tag();
    if (field !== ENV || type !== WireType.LengthDelimited) {
      reader.skip(type, field);
      continue;
    }
    const size = reader.uint32();
    const entry = reader.pos;
    reader.pos += size;
    if (reader.pos > reader.len) throw new RangeError("an entry of the environment is cut");
    if (beginsWithOne(bytes, entry, reader.pos, prefixes)) continue;
    kept ??= new Uint8Array(bytes.length);
    // Between two that are left out there is nothing.
    if (begin > from) kept.set(bytes.subarray(from, begin), length);
    length += begin - from;
    from = reader.pos;
  }
  if (kept === undefined) return bytes;
  kept.set(bytes.subarray(from), length);
  return kept.subarray(0, length + bytes.length - from);
}

function beginsWithOne(bytes: Uint8Array, at: number, end: number, prefixes: readonly Uint8Array[]): boolean {
  for (const prefix of prefixes) {
    let n = 0;
    while (n < prefix.length && at + n < end && bytes[at + n] === prefix[n]) n += 1;
    if (n === prefix.length) return true;
  }
  return false;
}
