import type { Device, ResourceSlice } from "./device.ts";

/** resource/v1 ResourceSliceMaxDevices, and the same where a device of the slice has a list, a taint or a counter. */
const MAX_DEVICES = 128;
const MAX_DEVICES_WITH_MORE = 64;

export interface PoolOwner {
  readonly driver: string;
  readonly nodeName: string;
  readonly nodeUid: string;
}

/**
 * The slices of this node's pool. Names are fixed, so that server-side apply finds them again; the scheduler goes through slices by name and
 * devices by order. Without a device there is one slice without devices: none at all would mean that the driver is not running.
 */
export function planSlices(devices: readonly Device[], owner: PoolOwner, generation: number): ResourceSlice[] {
  const chunks: (readonly Device[])[] = [];
  const size = devices.some((one) => hasList(one) || one.taints !== undefined) ? MAX_DEVICES_WITH_MORE : MAX_DEVICES;
  for (let at = 0; at < devices.length; at += size) chunks.push(devices.slice(at, at + size));
  if (chunks.length === 0) chunks.push([]);
  return chunks.map((chunk, n) => ({
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceSlice",
    metadata: {
      name: sliceName(owner, n),
      ownerReferences: [{ apiVersion: "v1", kind: "Node", name: owner.nodeName, uid: owner.nodeUid, controller: true }],
    },
    spec: {
      driver: owner.driver,
      nodeName: owner.nodeName,
      pool: { name: owner.nodeName, generation, resourceSliceCount: chunks.length },
      devices: chunk,
    },
  }));
}

export function hasList(device: Device): boolean {
  return Object.values(device.attributes).some((attribute) => "strings" in attribute);
}

/** A DNS subdomain of at most 253 characters; a node's name is one, of at most 253. */
function sliceName(owner: PoolOwner, n: number): string {
  const head = `${n.toString(16).padStart(5, "0")}-${owner.driver}-`;
  return `${head}${owner.nodeName}`.slice(0, 253).replace(/[-.]+$/, "");
}
