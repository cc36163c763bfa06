import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { CpuListError, CpuSet } from "../cpuset/cpuset.ts";
import {
  AllocationSchema,
  AllocationState,
  MachineSchema,
  type Allocation,
  type Machine,
} from "../gen/dracpu/agent/v1/state_pb.ts";
import type { AllocationPhase, AllocationRecord, MachineRecord } from "./records.ts";

/** A message of the contract that cannot be used; the text names the field. */
export class WireFault extends Error {
  override readonly name = "WireFault";
}

const MAX_TEXT = 253;
const MAX_SHARES = 32;
/** `status.reservedFor` has at most 256 entries (resource.k8s.io/v1). */
const MAX_CONSUMERS = 256;

const PHASES: Readonly<Record<AllocationPhase, AllocationState>> = {
  preparing: AllocationState.PREPARING,
  prepared: AllocationState.PREPARED,
  draining: AllocationState.DRAINING,
};

/** @throws WireFault naming the field. */
export function allocationFromWire(message: Allocation): AllocationRecord {
  const claim = message.claim;
  if (claim === undefined) throw new WireFault("allocation without a claim");
  const uid = text(claim.uid, "claim.uid");
  const at = `claim ${uid}`;
  if (uid === "") throw new WireFault("claim.uid is empty");
  if (message.shares.length > MAX_SHARES)
    throw new WireFault(`${at}: ${message.shares.length} shares, at most ${MAX_SHARES}`);
  if (message.consumers.length > MAX_CONSUMERS) throw new WireFault(`${at}: more than ${MAX_CONSUMERS} consumers`);
  let seen = CpuSet.empty;
  const shares = message.shares.map((share) => {
    const cpus = cpuList(share.cpus, `${at}: shares[${share.request}].cpus`);
    if (cpus.isEmpty) throw new WireFault(`${at}: shares[${share.request}].cpus is empty`);
    if (cpus.overlaps(seen)) throw new WireFault(`${at}: shares[${share.request}].cpus overlap another share`);
    seen = seen.union(cpus);
    return {
      request: text(share.request, `${at}: request`),
      pool: text(share.pool, `${at}: pool`),
      device: text(share.device, `${at}: device`),
      cpus,
    };
  });
  const idle = cpuList(message.idle, `${at}: idle`);
  if (idle.overlaps(seen)) throw new WireFault(`${at}: idle CPUs overlap a share`);
  return {
    claim: { uid, namespace: text(claim.namespace, `${at}: namespace`), name: text(claim.name, `${at}: name`) },
    state: phase(message.state, at),
    consumers: message.consumers.map((consumer) => ({
      resource: text(consumer.resource, `${at}: consumer.resource`),
      uid: text(consumer.uid, `${at}: consumer.uid`),
      name: text(consumer.name, `${at}: consumer.name`),
    })),
    shares,
    idle,
    isolated: message.isolated,
    operationId: text(message.operationId, `${at}: operation_id`),
  };
}

export function allocationToWire(record: AllocationRecord): Allocation {
  return create(AllocationSchema, allocationInit(record));
}

export function allocationInit(record: AllocationRecord): MessageInitShape<typeof AllocationSchema> {
  return {
    claim: { ...record.claim },
    state: PHASES[record.state],
    consumers: record.consumers.map((consumer) => ({ ...consumer })),
    shares: record.shares.map((share) => ({ ...share, cpus: share.cpus.toString() })),
    idle: record.idle.toString(),
    isolated: record.isolated,
    operationId: record.operationId,
  };
}

/** @throws WireFault naming the field. */
export function machineFromWire(message: Machine | undefined): MachineRecord {
  if (message === undefined) throw new WireFault("machine is missing");
  const online = cpuList(message.online, "machine.online");
  if (online.isEmpty) throw new WireFault("machine.online is empty");
  return {
    online,
    present: cpuList(message.present, "machine.present"),
    reserved: cpuList(message.reserved, "machine.reserved"),
    keepShared: cpuList(message.keepShared, "machine.keep_shared"),
    bootId: text(message.bootId, "machine.boot_id"),
  };
}

export function machineToWire(record: MachineRecord): Machine {
  return create(MachineSchema, {
    online: record.online.toString(),
    present: record.present.toString(),
    reserved: record.reserved.toString(),
    keepShared: record.keepShared.toString(),
    bootId: record.bootId,
  });
}

function phase(state: AllocationState, at: string): AllocationPhase {
  for (const [name, value] of Object.entries(PHASES)) if (value === state) return name as AllocationPhase;
  throw new WireFault(`${at}: state ${state} is not known`);
}

function text(value: string, field: string): string {
  if (value.length > MAX_TEXT) throw new WireFault(`${field} is longer than ${MAX_TEXT} characters`);
  return value;
}

function cpuList(value: string, field: string): CpuSet {
  try {
    return CpuSet.parse(value);
  } catch (cause) {
    if (cause instanceof CpuListError) throw new WireFault(`${field}: ${cause.message}`, { cause });
    throw cause;
  }
}
