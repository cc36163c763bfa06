import {
  CDI_KIND,
  CPUSET_ENV_PREFIX,
  CPUSHARE_ENV_PREFIX,
  GATE_HOST_PATH,
  GATE_PATH,
  cdiDeviceName,
} from "@dracpu/shared-proto/contract/names.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

/**
 * Version of the file format: annotations need 0.6.0, and every supported runtime's library reads it (CDI SPEC.md, "Released
 * versions").
 */
const CDI_VERSION = "0.6.0";
const ANNOTATION = "dra.cpu/allocation";

/** File name of a claim's spec in the CDI directory; the reference driver's. */
export function cdiFileName(claimUid: string): string {
  return `${CDI_KIND.replace("/", "-")}_claim-${claimUid}.json`;
}

/** Qualified CDI id of one request's device: a pure function of claim and request, since older kubelets append what changes. */
export function cdiId(claimUid: string, request: string): string {
  return `${CDI_KIND}=${cdiDeviceName(claimUid, request)}`;
}

/**
 * A claim's CDI spec: one device per request. Each carries the environment and the gate; what a later life of the driver needs to know
 * the claim again stands in an annotation.
 */
export function cdiSpec(allocation: AllocationRecord): string {
  const { uid } = allocation.claim;
  const whole = CpuSet.union(allocation.shares.map((share) => share.cpus)).toString();
  const requests = [...new Set(allocation.shares.map((share) => share.request))];
  const devices = requests.map((request) => {
    const cpus = CpuSet.union(
      allocation.shares.filter((share) => share.request === request).map((share) => share.cpus),
    );
    return {
      name: cdiDeviceName(uid, request),
      containerEdits: {
        env: [`${CPUSET_ENV_PREFIX}${uid}=${whole}`, `${CPUSHARE_ENV_PREFIX}${uid}_${request}=${cpus.toString()}`],
        mounts: [{ hostPath: GATE_HOST_PATH, containerPath: GATE_PATH, options: ["ro", "bind"] }],
      },
    };
  });
  const remembered = {
    claim: allocation.claim,
    consumers: allocation.consumers,
    shares: allocation.shares.map((share) => ({ ...share, cpus: share.cpus.toString() })),
    idle: allocation.idle.toString(),
    isolated: allocation.isolated,
  };
  return `${JSON.stringify({
    cdiVersion: CDI_VERSION,
    kind: CDI_KIND,
    annotations: { [ANNOTATION]: JSON.stringify(remembered) },
    devices,
  })}\n`;
}

/** What {@link cdiSpec} remembered; `undefined` where the file is none of ours or cannot be read. */
export function allocationFromCdi(text: string): AllocationRecord | undefined {
  try {
    const spec = JSON.parse(text) as { kind?: string; annotations?: Record<string, string> };
    const annotation = spec.kind === CDI_KIND ? spec.annotations?.[ANNOTATION] : undefined;
    if (annotation === undefined) return undefined;
    const found = JSON.parse(annotation) as {
      claim: AllocationRecord["claim"];
      consumers: AllocationRecord["consumers"];
      shares: { request: string; pool: string; device: string; cpus: string }[];
      idle: string;
      isolated: boolean;
    };
    return {
      claim: found.claim,
      consumers: found.consumers,
      shares: found.shares.map((share) => ({ ...share, cpus: CpuSet.parse(share.cpus) })),
      idle: CpuSet.parse(found.idle),
      isolated: found.isolated,
      state: "prepared",
      operationId: "",
    };
  } catch {
    return undefined;
  }
}
