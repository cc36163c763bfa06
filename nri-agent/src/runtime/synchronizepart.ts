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
