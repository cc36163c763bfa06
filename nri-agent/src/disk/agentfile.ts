import { createHash } from "node:crypto";
import { join } from "node:path";
import { fromJson, toJson, type JsonValue } from "@bufbuild/protobuf";
import {
  allocationFromWire,
  allocationToWire,
  machineFromWire,
  machineToWire,
} from "@dracpu/shared-proto/contract/wire.ts";
import { keepAside, readBounded, writeWhole } from "@dracpu/shared-proto/disk/whole.ts";
import { AllocationSchema, MachineSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { AgentMemory, MemoryPort } from "../enforce/ports.ts";

const MAX_BYTES = 32 << 20;
const VERSION = 1;

interface FileShape {
  readonly version: number;
  readonly bootId: string;
  readonly highestEpoch: string;
  readonly epoch: string;
  readonly revision: string;
  readonly digest: string;
  readonly machine?: JsonValue;
  readonly allocations: readonly JsonValue[];
  readonly orphans: readonly JsonValue[];
}

export type Loaded =
  | { readonly kind: "memory"; readonly memory: AgentMemory }
  | { readonly kind: "none" }
  /** Set aside under `aside`; the driver's Replace makes a new one. */
  | { readonly kind: "damaged"; readonly aside: string; readonly why: string };

/**
 * The agent's own file, `agent.json` in its state directory: what drivers told it, in JSON that other versions can read. Its last member is the
 * SHA-256 of the bytes before, so that members which a version does not know are covered too; a file of a version before it has none.
 */
export class AgentFile implements MemoryPort {
  readonly path: string;

  constructor(stateDir: string) {
    this.path = join(stateDir, "agent.json");
  }

  save(memory: AgentMemory): Promise<void> {
    const shape: FileShape = {
      version: VERSION,
      bootId: memory.bootId,
      highestEpoch: String(memory.highestEpoch),
      epoch: String(memory.epoch),
      revision: String(memory.revision),
      digest: memory.digest,
      ...(memory.machine === undefined ? {} : { machine: toJson(MachineSchema, machineToWire(memory.machine)) }),
      allocations: memory.allocations.map((one) => toJson(AllocationSchema, allocationToWire(one))),
      orphans: memory.orphans.map((one) => toJson(AllocationSchema, allocationToWire(one))),
    };
    const body = JSON.stringify(shape, undefined, 1).slice(0, -END.length);
    return writeWhole(this.path, `${body},\n "sum": "${sum(body)}"${END}\n`);
  }

  /** @throws DiskFault where the file is there and cannot be read. */
  async load(): Promise<Loaded> {
    const text = await readBounded(this.path, MAX_BYTES);
    if (text === undefined) return { kind: "none" };
    try {
      return { kind: "memory", memory: parse(text) };
    } catch (cause) {
      return { kind: "damaged", aside: await keepAside(this.path), why: (cause as Error).message };
    }
  }
}

/** The last member in files of the version before the sum. */
const LAST_WITHOUT_SUM = "orphans";
/** Of the object that the file is. */
const END = "\n}";

function sum(body: string): string {
  return createHash("sha256").update(body).digest("hex");
}

function parse(text: string): AgentMemory {
  const found = /,\n "sum": "([^"]*)"\n}\n?$/.exec(text);
  if (found !== null && found[1] !== sum(text.slice(0, found.index)))
    throw new Error("its checksum does not fit its content: it was cut or changed");
  const shape = JSON.parse(text) as FileShape;
  // Where it is the sum's own member that was changed.
  if (found === null && Object.keys(shape).at(-1) !== LAST_WITHOUT_SUM)
    throw new Error("its checksum cannot be read: it was cut or changed");
  if (shape.version !== VERSION)
    throw new Error(`its version is ${String(shape.version)}, this agent reads ${VERSION}`);
  const options = { ignoreUnknownFields: true };
  const allocation = (value: JsonValue): AgentMemory["allocations"][number] =>
    allocationFromWire(fromJson(AllocationSchema, value, options));
  return {
    bootId: shape.bootId,
    highestEpoch: BigInt(shape.highestEpoch),
    epoch: BigInt(shape.epoch),
    revision: BigInt(shape.revision),
    digest: shape.digest,
    machine: shape.machine === undefined ? undefined : machineFromWire(fromJson(MachineSchema, shape.machine, options)),
    allocations: shape.allocations.map(allocation),
    orphans: shape.orphans.map(allocation),
  };
}
