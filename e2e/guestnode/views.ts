import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Claim, Device, Pod, Slice } from "./objects.ts";

/** What each party says of a node at about the same time. */
export interface Views {
  readonly slices: readonly Slice[];
  readonly claims: readonly Claim[];
  readonly pods: readonly Pod[];
  /** `agent.json` of the agent's state directory. */
  readonly agent: string;
  /** Files `status` and `cgroup` of all processes, as {@link LOOK} prints them. */
  readonly kernel: string;
}

/** Script for a guest: the agent's file, then a line `KERNEL`, then what the kernel says of all processes. */
export const LOOK = `cat /var/lib/dra-driver-cpu/agent/agent.json
echo KERNEL
grep -H Cpus_allowed_list /proc/[0-9]*/status 2>/dev/null
grep -H kubepods /proc/[0-9]*/cgroup 2>/dev/null
true`;

/** Script for a guest: CPUs of each valid partition below the pods' cgroup, a line each. */
export const PARTITIONS = `for p in $(find /sys/fs/cgroup/kubepods* -name cpuset.cpus.partition); do
[ "$(cat "$p")" = root ] && cat "\${p%partition}exclusive.effective"; done; true`;

interface AgentFile {
  readonly allocations?: readonly {
    readonly claim: { readonly name: string; readonly uid: string };
    readonly shares?: readonly { readonly cpus: string }[];
    readonly idle?: string;
  }[];
}

/** Who has which CPUs of one node: by the scheduler, by the driver, by the agent, by the kernel; and where they do not agree. */
export class Holdings {
  readonly #v: Views;
  readonly #node: string;
  readonly #agent: ReadonlyMap<string, CpuSet>;
  readonly #masks: ReadonlyMap<string, readonly CpuSet[]>;

  constructor(node: string, views: Views) {
    this.#v = views;
    this.#node = node;
    this.#agent = heldByAgent(views.agent);
    this.#masks = masksByContainer(views.kernel);
  }

  /** Devices that the node offers. */
  get devices(): readonly Device[] {
    return this.#v.slices.filter((one) => one.spec.nodeName === this.#node).flatMap((one) => one.spec.devices ?? []);
  }

  /** Claims that are allocated on this node. */
  get claims(): readonly Claim[] {
    return this.#v.claims.filter((one) =>
      one.status?.allocation?.devices.results.some((result) => result.pool === this.#node),
    );
  }

  /** CPUs that the scheduler has handed out of a device, or of all. */
  consumed(device?: string): number {
    const results = this.claims.flatMap((one) => one.status?.allocation?.devices.results ?? []);
    return results
      .filter((one) => device === undefined || one.device === device)
      .reduce((sum, one) => sum + Number(one.consumedCapacity?.["dra.cpu/cpu"] ?? 1), 0);
  }

  /** CPUs of a device that the scheduler can still hand out. */
  roomOf(device: Device): number {
    return Number(device.capacity?.["dra.cpu/cpu"]?.value ?? 1) - this.consumed(device.name);
  }

  get pods(): readonly Pod[] {
    return this.#v.pods;
  }

  /** All CPUs that the agent knows to be held. */
  get held(): CpuSet {
    return CpuSet.union(this.#agent.values());
  }

  /** Masks that processes of a pod's containers have. */
  readonly masksOf = (pod: string): string[] => {
    const masks = this.#containers.filter((one) => one.pod.startsWith(`${pod}/`)).flatMap((one) => one.masks);
    return [...new Set(masks.map(String))];
  };

  /** What must never be, whatever is under way: CPUs of two claims, containers of two claims on one CPU. */
  never(): string[] {
    const running = this.#containers.filter((one) => one.claim !== undefined);
    return [
      ...twice([...this.#agent].map(([uid, cpus]) => ({ name: `claim ${uid} by the agent`, cpus }))),
      ...twice(
        running.map((one) => ({ name: `pod ${one.pod}`, claim: one.claim ?? "", cpus: CpuSet.union(one.masks) })),
      ),
    ];
  }

  /** Where the parties do not agree; right after a change they may not, for a while. */
  disagreements(): string[] {
    const wrong: string[] = [];
    const byDriver = new Map<string, CpuSet>();
    for (const { metadata, status } of this.claims) {
      const results = status?.allocation?.devices.results ?? [];
      for (const result of results) {
        const told = (status?.devices ?? []).filter((one) => one.device === result.device);
        const cpus = CpuSet.union(told.map((one) => CpuSet.parse(one.data.cpus)));
        const wanted = Number(result.consumedCapacity?.["dra.cpu/cpu"] ?? 1);
        if (cpus.size !== wanted)
          wrong.push(`${metadata.name} has ${wanted} of ${result.device}, and CPUs ${cpus.toString()}`);
        if (!cpus.isSubsetOf(this.#cpusOf(result.device)))
          wrong.push(`${metadata.name} has CPUs ${cpus.toString()}, which are not all of ${result.device}`);
        byDriver.set(metadata.uid, cpus.union(byDriver.get(metadata.uid) ?? CpuSet.empty));
      }
    }
    for (const uid of new Set([...byDriver.keys(), ...this.#agent.keys()])) {
      const [driver, agent] = [byDriver.get(uid)?.toString() ?? "none", this.#agent.get(uid)?.toString() ?? "none"];
      if (driver !== agent) wrong.push(`claim ${uid}: ${driver} by its status, ${agent} by the agent`);
    }
    for (const one of this.devices)
      if (this.roomOf(one) < 0)
        wrong.push(`of ${one.name} ${this.consumed(one.name)} CPUs are handed out, which it has not`);
    for (const one of this.#containers) {
      const wanted = one.claim === undefined ? undefined : byDriver.get(one.claim);
      if (one.masks.length === 0) wrong.push(`no process of pod ${one.pod} is there`);
      for (const mask of one.masks) {
        if (wanted !== undefined && !mask.equals(wanted))
          wrong.push(`pod ${one.pod} has ${wanted.toString()}, and runs on ${mask.toString()}`);
        if (wanted === undefined && mask.overlaps(this.held))
          wrong.push(`pod ${one.pod} without a claim runs on ${mask.toString()}; held are ${this.held.toString()}`);
      }
    }
    return wrong;
  }

  /** Containers that the API server has as there, with the masks of their processes. `claim`: uid. */
  get #containers(): readonly { pod: string; claim: string | undefined; masks: readonly CpuSet[] }[] {
    return this.#v.pods
      .filter((one) => one.spec.nodeName === this.#node && one.metadata.deletionTimestamp === undefined)
      .flatMap(({ metadata, status }) => {
        const name = status.resourceClaimStatuses?.[0]?.resourceClaimName;
        const claim = this.#v.claims.find((one) => one.metadata.name === name)?.metadata.uid;
        return [...(status.containerStatuses ?? []), ...(status.initContainerStatuses ?? [])]
          .filter((one) => one.ready && one.containerID !== undefined)
          .map((one) => ({
            pod: `${metadata.name}/${one.name}`,
            claim,
            masks: this.#masks.get(one.containerID?.replace("containerd://", "") ?? "") ?? [],
          }));
      });
  }

  #cpusOf(device: string): CpuSet {
    const attributes = this.devices.find((one) => one.name === device)?.attributes;
    const cpu = attributes?.["dra.cpu/cpuID"]?.int;
    return cpu === undefined ? CpuSet.parse(attributes?.["dra.cpu/cpus"]?.string ?? "") : CpuSet.of(cpu);
  }
}

function twice(holders: readonly { name: string; claim?: string; cpus: CpuSet }[]): string[] {
  return holders.flatMap((one, n) =>
    holders
      .slice(n + 1)
      .filter((other) => other.cpus.overlaps(one.cpus) && (one.claim === undefined || one.claim !== other.claim))
      .map((other) => `${one.name} has ${one.cpus.toString()}, ${other.name} has ${other.cpus.toString()}`),
  );
}

function heldByAgent(file: string): ReadonlyMap<string, CpuSet> {
  const { allocations = [] } = JSON.parse(file) as AgentFile;
  return new Map(
    allocations.map(({ claim, shares = [], idle = "" }) => [
      claim.uid,
      CpuSet.union([...shares.map((one) => CpuSet.parse(one.cpus)), CpuSet.parse(idle)]),
    ]),
  );
}

/** By the container's id: the mask of each of its processes. */
function masksByContainer(text: string): ReadonlyMap<string, readonly CpuSet[]> {
  const allowed = new Map<string, string>();
  for (const [, pid = "", list = ""] of text.matchAll(/^\/proc\/(\d+)\/status:Cpus_allowed_list:\s*(\S+)$/gm))
    allowed.set(pid, list);
  const masks = new Map<string, CpuSet[]>();
  for (const [, pid = "", id = ""] of text.matchAll(/^\/proc\/(\d+)\/cgroup:.*\/kubepods\/.*\/([0-9a-f]{64})$/gm)) {
    const list = allowed.get(pid);
    if (list !== undefined) masks.set(id, [...(masks.get(id) ?? []), CpuSet.parse(list)]);
  }
  return masks;
}
