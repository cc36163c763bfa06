import { create } from "@bufbuild/protobuf";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import {
  CreateContainerResponseSchema,
  type ContainerUpdate,
  type CreateContainerResponse,
} from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { partitionFile } from "./updates.ts";
import type { ClaimUse, MarkNames } from "../truth/marks.ts";

/** A shared container: the shared pool, and nothing else of it is touched. */
export function sharedReply(cpus: CpuSet, update: ContainerUpdate[]): CreateContainerResponse {
  return create(CreateContainerResponseSchema, {
    adjust: { linux: { resources: { cpu: { cpus: cpus.toString() } } } },
    update,
  });
}

/**
 * A claim's container: its CPUs, no CFS quota (it would throttle what is the container's alone), the gate mount taken out
 * (without it the runtime could not start the container), the mark by which a later life of this agent knows it, and
 * the variable with the fixed name.
 *
 * @param mems NUMA nodes whose memory it may take, as a kernel list; "" for all.
 * @param type of its partition, which the runtime makes; "" for none.
 */
export function pinReply(
  cpus: CpuSet,
  mems: string,
  type: string,
  uses: readonly ClaimUse[],
  gates: readonly string[],
  update: ContainerUpdate[],
  names: MarkNames,
): CreateContainerResponse {
  const uids = [...new Set(uses.map((use) => use.claimUid))];
  return create(CreateContainerResponseSchema, {
    adjust: {
      annotations: { [names.annotation]: uids.join(",") },
      mounts: gates.map((destination) => ({ destination: `-${destination}` })),
      env: [{ key: names.cpusVariable, value: cpus.toString() }],
      linux: {
        resources: { cpu: { cpus: cpus.toString(), mems, quota: { value: -1n } }, unified: partitionFile(type) },
      },
    },
    update,
  });
}
