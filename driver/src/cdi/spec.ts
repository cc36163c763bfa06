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
import { metadataFile, metadataPath } from "./metadata.ts";

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
  return `${CDI_KIND}=${deviceName(claimUid, request)}`;
}

/** A share without a request is a whole claim of the reference driver: running pods hold the id of its one device. */
function deviceName(claimUid: string, request: string): string {
  return request === "" ? `claim-${claimUid}` : cdiDeviceName(claimUid, request);
}

/**
 * A claim's CDI spec: one device per request. Each carries the environment and the gate; what a later life of the driver needs to know
 * the claim again stands in an annotation.
 *
 * @param metadataRoot where the claim's device metadata is, where there is any.
 */
export function cdiSpec(allocation: AllocationRecord, metadataRoot?: string): string {
  const { uid } = allocation.claim;
  const whole = CpuSet.union(allocation.shares.map((share) => share.cpus)).toString();
  const requests = [...new Set(allocation.shares.map((share) => share.request))];
  const devices = requests.map((request) => {
    const cpus = CpuSet.union(
      allocation.shares.filter((share) => share.request === request).map((share) => share.cpus),
    );
    return {
      name: deviceName(uid, request),
      containerEdits: {
        env: [
          `${CPUSET_ENV_PREFIX}${uid}=${whole}`,
          ...(request === "" ? [] : [`${CPUSHARE_ENV_PREFIX}${uid}_${request}=${cpus.toString()}`]),
        ],
        mounts: [
          { hostPath: GATE_HOST_PATH, containerPath: GATE_PATH, options: ["ro", "bind"] },
          ...(metadataRoot === undefined || request === ""
            ? []
            : [
                {
                  hostPath: metadataFile(metadataRoot, uid, request),
                  containerPath: metadataPath(allocation, request),
                  options: ["ro", "bind"],
                },
              ]),
        ],
      },
    };
  });
  const remembered = {
    claim: allocation.claim,
    podClaimName: allocation.podClaimName,
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

/**
 * - `ours`: what {@link cdiSpec} remembered
 * - `bare`: a claim of which no more is known than its CPUs; the reference driver's file
 */
export type CdiReading =
  | { readonly kind: "ours"; readonly allocation: AllocationRecord }
  | { readonly kind: "bare"; readonly cpus: CpuSet }
  | { readonly kind: "unreadable"; readonly why: string };

/** Reads a claim's file; `claimUid` is that of its name. */
export function readCdi(claimUid: string, text: string): CdiReading {
  try {
    const spec = JSON.parse(text) as CdiFile;
    if (spec.kind !== CDI_KIND) return { kind: "unreadable", why: `its kind is not ${CDI_KIND}` };
    const annotation = spec.annotations?.[ANNOTATION];
    if (annotation === undefined) return bare(claimUid, spec);
    const allocation = remembered(annotation);
    if (allocation?.claim.uid === claimUid) return { kind: "ours", allocation };
    return { kind: "unreadable", why: `its annotation ${ANNOTATION} names no claim ${claimUid}` };
  } catch (cause) {
    return { kind: "unreadable", why: (cause as Error).message };
  }
}

interface CdiFile {
  readonly kind?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly devices?: readonly { readonly containerEdits?: { readonly env?: readonly string[] } }[];
}

function bare(claimUid: string, spec: CdiFile): CdiReading {
  const prefix = `${CPUSET_ENV_PREFIX}${claimUid}=`;
  const values = (spec.devices ?? [])
    .flatMap((device) => device.containerEdits?.env ?? [])
    .filter((line) => line.startsWith(prefix))
    .map((line) => CpuSet.parse(line.slice(prefix.length)));
  const cpus = CpuSet.union(values);
  return cpus.isEmpty
    ? { kind: "unreadable", why: `it has neither an annotation ${ANNOTATION} nor a variable ${prefix.slice(0, -1)}` }
    : { kind: "bare", cpus };
}

function remembered(annotation: string): AllocationRecord | undefined {
  const found = JSON.parse(annotation) as {
    claim?: AllocationRecord["claim"];
    podClaimName?: string;
    consumers?: AllocationRecord["consumers"];
    shares?: { request: string; pool: string; device: string; cpus: string }[];
    idle?: string;
    isolated?: boolean;
  };
  const { claim, podClaimName = "", consumers = [], shares = [], idle = "", isolated = false } = found;
  const texts = [
    claim?.uid,
    claim?.namespace,
    claim?.name,
    podClaimName,
    ...shares.flatMap(({ request, pool, device }) => [request, pool, device]),
    ...consumers.flatMap(({ resource, uid, name }) => [resource, uid, name]),
  ];
  if (claim === undefined || shares.length === 0 || texts.some((text) => typeof text !== "string")) return undefined;
  return {
    claim: { uid: claim.uid, namespace: claim.namespace, name: claim.name },
    ...(podClaimName === "" ? {} : { podClaimName }),
    consumers: consumers.map(({ resource, uid, name }) => ({ resource, uid, name })),
    shares: shares.map(({ request, pool, device, cpus }) => ({ request, pool, device, cpus: CpuSet.parse(cpus) })),
    idle: CpuSet.parse(idle),
    isolated,
    state: "prepared",
    operationId: "",
  };
}
