import { DRIVER_NAME } from "@dracpu/shared-proto/contract/names.ts";
import type { AllocationRecord, ShareRecord } from "@dracpu/shared-proto/contract/records.ts";
import type { Attribute } from "../slices/device.ts";

/**
 * Device metadata (KEP-5304): a JSON stream of the same object once per version, newest first; readers take the first that they know. The layout
 * is that of k8s.io/dynamic-resource-allocation v0.36.3, api/metadata.
 */
const VERSIONS = ["v1beta1", "v1alpha1"].map((version) => `metadata.resource.k8s.io/${version}`);
const IN_CONTAINERS = "/var/run/kubernetes.io/dra-device-attributes";

/** Requests of a claim that have a file: all but the one of a claim that another driver prepared as a whole. */
export function requestsOf(allocation: AllocationRecord): string[] {
  return [...new Set(allocation.shares.map(({ request }) => request))].filter((request) => request !== "");
}

/** Where a claim's files are on the node, one directory per claim. */
export function metadataDir(root: string, claimUid: string): string {
  return `${root}/${claimUid}`;
}

export function metadataFile(root: string, claimUid: string, request: string): string {
  return `${metadataDir(root, claimUid)}/${request}.json`;
}

/** Where containers find it: by the pod's own name for the claim, where the claim was made from a template. */
export function metadataPath({ claim, podClaimName }: AllocationRecord, request: string): string {
  const of = podClaimName === undefined ? `resourceclaims/${claim.name}` : `resourceclaimtemplates/${podClaimName}`;
  return `${IN_CONTAINERS}/${of}/${request}/${DRIVER_NAME}-metadata.json`;
}

/** @param attributes those of a device as it is published; nothing where it is published no more. */
export function metadataText(
  allocation: AllocationRecord,
  request: string,
  attributes: (device: string) => Readonly<Record<string, Attribute>>,
): string {
  const { claim, podClaimName } = allocation;
  const device = ({ pool, device: name, cpus }: ShareRecord): object => ({
    driver: DRIVER_NAME,
    pool,
    name,
    attributes: {
      ...attributes(name),
      // Longer than the API's limit for a string where it has to be: no API server reads this.
      [`${DRIVER_NAME}/allocatedCPUs`]: { string: cpus.toString() },
      [`${DRIVER_NAME}/allocatedNumCPUs`]: { int: cpus.size },
    },
  });
  const body = {
    kind: "DeviceMetadata",
    metadata: { name: claim.name, namespace: claim.namespace, uid: claim.uid, generation: 1 },
    ...(podClaimName === undefined ? {} : { podClaimName }),
    requests: [{ name: request, devices: allocation.shares.filter((share) => share.request === request).map(device) }],
  };
  return VERSIONS.map((apiVersion) => `${JSON.stringify({ apiVersion, ...body }, undefined, 2)}\n`).join("");
}
