import { CpuListError, CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ResourceClaim } from "../claims/resourceclaim.ts";
import { CPU_CAPACITY } from "../slices/capacity.ts";
import type { ResourceSlice } from "../slices/device.ts";

/** A slice as the API server has it, as much of it as is looked at. */
export interface PublishedSlice {
  readonly spec: Pick<ResourceSlice["spec"], "driver" | "pool"> & {
    readonly devices?: ResourceSlice["spec"]["devices"];
  };
}

/** What one device offers and how much of it is taken, as the API server counts. */
export interface DeviceView {
  readonly name: string;
  readonly numa: string;
  readonly l3: string;
  readonly capacity: number;
  readonly taken: number;
  readonly taints: readonly string[];
}

export interface NodeView {
  readonly node: string;
  readonly capacity: number;
  readonly taken: number;
  readonly free: number;
  /** Most that one device has left: no request can get more. */
  readonly largest: number;
  readonly claims: number;
  /** Of any of its devices, as `key=value:effect`: the scheduler gives nothing there to claims that do not tolerate them. */
  readonly taints: readonly string[];
  readonly devices: readonly DeviceView[];
}

export interface HolderView {
  readonly node: string;
  readonly namespace: string;
  readonly claim: string;
  readonly pods: readonly string[];
  readonly cpus: number;
  /** As its node's driver says in the claim's status; "" where it has not. */
  readonly list: string;
  readonly devices: readonly string[];
}

/** Capacity, taken and free of every node that publishes devices, from the API alone. */
export function nodeViews(
  slices: readonly PublishedSlice[],
  claims: readonly ResourceClaim[],
  driver: string,
): NodeView[] {
  const taken = new Map<string, number>();
  const holders = new Map<string, Set<string>>();
  for (const claim of claims)
    for (const one of resultsOf(claim, driver)) {
      const key = `${one.pool}/${one.device}`;
      taken.set(key, (taken.get(key) ?? 0) + one.cpus);
      holders.set(one.pool, (holders.get(one.pool) ?? new Set()).add(claim.metadata.uid));
    }
  const nodes = new Map<string, DeviceView[]>();
  for (const { spec } of newest(slices.filter((slice) => slice.spec.driver === driver))) {
    const devices = nodes.get(spec.pool.name) ?? [];
    nodes.set(spec.pool.name, devices);
    for (const device of spec.devices ?? [])
      devices.push({
        name: device.name,
        l3: intOf(device.attributes?.["dra.cpu/cacheL3ID"]),
        numa: intOf(device.attributes?.["resource.kubernetes.io/numaNode"]),
        capacity: Number(device.capacity?.[CPU_CAPACITY]?.value ?? 1),
        taken: taken.get(`${spec.pool.name}/${device.name}`) ?? 0,
        taints: (device.taints ?? []).map((one) => `${one.key}=${one.value}:${one.effect}`),
      });
  }
  return [...nodes]
    .map(([node, devices]) => {
      const sum = (of: (device: DeviceView) => number): number => devices.reduce((all, one) => all + of(one), 0);
      return {
        node,
        capacity: sum((one) => one.capacity),
        taken: sum((one) => one.taken),
        free: sum((one) => Math.max(0, one.capacity - one.taken)),
        largest: Math.max(0, ...devices.map((one) => one.capacity - one.taken)),
        claims: holders.get(node)?.size ?? 0,
        taints: [...new Set(devices.flatMap((one) => one.taints))],
        devices: devices.sort((a, b) => (a.name < b.name ? -1 : 1)),
      };
    })
    .sort((a, b) => (a.node < b.node ? -1 : 1));
}

/** Which claims hold CPUs, and where. */
export function holderViews(claims: readonly ResourceClaim[], driver: string): HolderView[] {
  return claims
    .flatMap((claim) => {
      const own = resultsOf(claim, driver);
      return own.length === 0
        ? []
        : [
            {
              node: [...new Set(own.map((one) => one.pool))].join(", "),
              namespace: claim.metadata.namespace,
              claim: claim.metadata.name,
              pods: (claim.status?.reservedFor ?? []).filter((one) => one.resource === "pods").map((one) => one.name),
              cpus: own.reduce((all, one) => all + one.cpus, 0),
              list: listOf(claim, driver),
              devices: [...new Set(own.map((one) => one.device))],
            },
          ];
    })
    .sort((a, b) => compare(a.node, b.node) || compare(a.namespace, b.namespace) || compare(a.claim, b.claim));
}

function resultsOf(claim: ResourceClaim, driver: string): { pool: string; device: string; cpus: number }[] {
  return (claim.status?.allocation?.devices?.results ?? [])
    .filter((one) => one.driver === driver && one.adminAccess !== true)
    .map((one) => ({
      pool: one.pool,
      device: one.device,
      cpus: Number(one.consumedCapacity?.[CPU_CAPACITY] ?? 1),
    }));
}

function listOf(claim: ResourceClaim, driver: string): string {
  const lists = (claim.status?.devices ?? []).flatMap((one) => (one.driver === driver ? (one.data?.cpus ?? []) : []));
  try {
    return CpuSet.union(lists.map((list) => CpuSet.parse(list))).toString();
  } catch (cause) {
    if (cause instanceof CpuListError) return "";
    throw cause;
  }
}

/** Slices of a pool's newest generation; what is older is about to go. */
function newest(slices: readonly PublishedSlice[]): PublishedSlice[] {
  const generations = new Map<string, number>();
  for (const { spec } of slices)
    generations.set(spec.pool.name, Math.max(generations.get(spec.pool.name) ?? 0, spec.pool.generation));
  return slices.filter(({ spec }) => spec.pool.generation === generations.get(spec.pool.name));
}

function intOf(attribute: unknown): string {
  const { int } = (attribute ?? {}) as { int?: number };
  return int === undefined ? "" : String(int);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
