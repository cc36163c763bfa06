import { allocationFromWire, WireFault } from "@dracpu/shared-proto/contract/wire.ts";
import type { Allocation } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { LogWriter } from "@dracpu/shared-proto/observe/log.ts";

/** Those of the agent's claims that can be read. */
export function known(allocations: readonly Allocation[], log: LogWriter): ReturnType<typeof allocationFromWire>[] {
  return allocations.flatMap((message) => {
    try {
      return [allocationFromWire(message)];
    } catch (cause) {
      if (!(cause instanceof WireFault)) throw cause;
      log.error("the NRI agent remembers a claim that cannot be read", { cause: cause.message });
      return [];
    }
  });
}
