import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import {
  AllocatableResourcesRequestSchema,
  PodResourcesLister,
  type AllocatableResourcesResponse,
} from "@dracpu/shared-proto/gen/kubelet/podresources_v1_pb.ts";
import { Client, credentials } from "@grpc/grpc-js";
import { serviceDefinition } from "./grpc.ts";

/** A connection is made anew for each question: the kubelet may be another by the next. */
const METHOD = "getAllocatableResources";

/**
 * The CPUs that the kubelet's CPU manager may give out exclusively; empty under policy none (pkg/kubelet/cm/cpumanager/policy_none.go).
 *
 * @param rootDir as the kubelet sees it, such as /var/lib/kubelet.
 * @throws Error with a sentence where its socket `pod-resources/kubelet.sock` does not answer.
 */
export async function allocatableCpus(rootDir: string, signal: AbortSignal): Promise<CpuSet> {
  const path = join(rootDir, "pod-resources", "kubelet.sock");
  const method = serviceDefinition(PodResourcesLister)[METHOD];
  if (method === undefined) throw new Error(`there is no method ${METHOD}`);
  const client = new Client(`unix:${path}`, credentials.createInsecure());
  try {
    const response = await new Promise<AllocatableResourcesResponse>((resolve, reject) => {
      const call = client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize as (bytes: Buffer) => AllocatableResourcesResponse,
        create(AllocatableResourcesRequestSchema),
        (fault, answer) => {
          if (fault === null && answer !== undefined) resolve(answer);
          else reject(new Error(`the kubelet does not answer on ${path}: ${fault?.details ?? "nothing was said"}`));
        },
      );
      signal.addEventListener("abort", () => call.cancel(), { once: true });
    });
    return CpuSet.from(response.cpuIds.map(Number));
  } finally {
    client.close();
  }
}
