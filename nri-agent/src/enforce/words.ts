import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { allocationFromWire, WireFault } from "@dracpu/shared-proto/contract/wire.ts";
import type { Allocation } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { ContractFault } from "./contract.ts";
import { cpusOf } from "./node.ts";

export function allocationOf(message: Allocation): AllocationRecord {
  return wire(() => allocationFromWire(message), message.claim?.uid);
}

export function wire<T>(read: () => T, claim = ""): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof WireFault)) throw cause;
    throw new ContractFault("bad-message", cause.message, { cause, claims: claim === "" ? [] : [claim] });
  }
}

/** Promise 1 is checked here too, whatever the driver says: no CPU is held by two claims. Who had it before is not to blame. */
export function checkDisjoint(
  allocations: Iterable<AllocationRecord>,
  before: ReadonlyMap<string, AllocationRecord>,
): void {
  const isNew = ({ claim }: AllocationRecord, cpu: number): boolean => {
    const had = before.get(claim.uid);
    return had === undefined || !cpusOf(had).union(had.idle).has(cpu);
  };
  const owner = new Map<number, AllocationRecord>();
  for (const allocation of allocations) {
    if (allocation.state === "draining") continue;
    const sets = [...allocation.shares.map((share) => share.cpus), allocation.idle];
    for (const cpu of sets.flatMap((cpus) => cpus.toArray())) {
      const other = owner.get(cpu);
      if (other !== undefined && other !== allocation) {
        const both = [other, allocation];
        const late = both.filter((one) => isNew(one, cpu));
        throw new ContractFault(
          "bad-message",
          `CPU ${cpu} is given to claim ${other.claim.uid} and to claim ${allocation.claim.uid}`,
          { claims: (late.length === 0 ? both : late).map(({ claim }) => claim.uid) },
        );
      }
      owner.set(cpu, allocation);
    }
  }
}
