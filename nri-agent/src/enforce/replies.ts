import { create } from "@bufbuild/protobuf";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import {
  CreateContainerResponseSchema,
  type Container,
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
 * No CFS quota. 0 is none for a container that is made; -1 takes one away. In systemd's scopes -1 is not said without need: crun before 1.22 makes 1 % of a CPU of it
 * (containers/crun 4db005a5), and for 0 the runtime leaves what the container has. Where there is one, runc takes it away, and crun cannot.
 *
 * @param container as the runtime tells it; none of one that is made.
 */
export function noQuota(container?: Container): { value: bigint } {
  if (container === undefined) return { value: 0n };
  const { cgroupsPath = "", resources } = container.linux ?? {};
  const isScope = cgroupsPath.includes(":");
  return { value: isScope && (resources?.cpu?.quota?.value ?? 0n) <= 0n ? 0n : -1n };
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
        resources: { cpu: { cpus: cpus.toString(), mems, quota: noQuota() }, unified: partitionFile(type) },
      },
    },
    update,
  });
}
