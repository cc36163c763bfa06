import { mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { IMAGE } from "../image/image.ts";
import type { Cri } from "../cri/client.ts";
import { NamespaceMode } from "../cri/gen/cri/api_pb.ts";

export interface PodHandle {
  readonly id: string;
  readonly name: string;
  readonly uid: string;
  readonly config: object;
  /** Below the cgroup root. */
  readonly cgroup: string;
  readonly logs: string;
}

export interface ContainerHandle {
  readonly id: string;
  readonly name: string;
  readonly pod: PodHandle;
  readonly pid: number;
  /** Below the cgroup root. */
  readonly cgroup: string;
  /** `Cpus_allowed_list` of the container's first process, from the kernel. */
  allowed(): string;
  /** `Cpus_allowed_list` as its first instruction saw it. */
  first(): string;
  /** This driver's variables, as its first instruction saw them. */
  environment(): string[];
}

export interface ContainerOptions {
  readonly cdi?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly command?: readonly string[];
  readonly cpus?: string;
  readonly quota?: bigint;
}

const CGROUPS = "/sys/fs/cgroup";

/** Pods and containers by CRI, with cgroups where a kubelet would put them. */
export class Pods {
  readonly cri: Cri;
  readonly #dir: string;
  readonly #root: string;
  /** By sandbox; the pod's own cgroup. */
  readonly #cgroups = new Map<string, string>();
  #count = 0;

  /** @param root the top-level cgroup of all pods: `/kubepods` with the cgroupfs driver, `kubepods.slice` with systemd's. */
  constructor(cri: Cri, dir: string, root: string) {
    this.cri = cri;
    this.#dir = dir;
    this.#root = root;
  }

  async pod(
    name: string,
    qos: "" | "besteffort" | "burstable" = "besteffort",
    runtimeHandler = "",
  ): Promise<PodHandle> {
    this.#count += 1;
    const uid = `${String(this.#count).padStart(8, "0")}-0000-4000-8000-${Date.now().toString(16).padStart(12, "0")}`;
    const logs = join(this.#dir, "podlogs", uid);
    mkdirSync(logs, { recursive: true });
    const [parent, cgroup] = this.#cgroupOf([qos, `pod${uid}`].filter((part) => part !== ""));
    const config = {
      metadata: { name, uid, namespace: "default", attempt: 0 },
      logDirectory: logs,
      linux: {
        cgroupParent: parent,
        securityContext: { namespaceOptions: { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER } },
      },
    };
    const { podSandboxId } = await this.cri.call("runPodSandbox", { config, runtimeHandler });
    this.#cgroups.set(podSandboxId, cgroup);
    return { id: podSandboxId, name, uid, config, cgroup, logs };
  }

  /** As the kubelet names them (v1.36.3, kubelet/cm/cgroup_manager_linux.go). @returns what the runtime is told, and where it is. */
  #cgroupOf(parts: readonly string[]): readonly [string, string] {
    const stem = /^(.+)\.slice$/.exec(this.#root)?.[1];
    if (stem === undefined) {
      const path = [this.#root, ...parts].join("/");
      return [path, path];
    }
    const names = [stem, ...parts.map((part) => part.replaceAll("-", "_"))];
    const slices = names.map((_, n) => `${names.slice(0, n + 1).join("-")}.slice`);
    return [slices.at(-1) ?? "", `/${slices.join("/")}`];
  }

  async create(pod: PodHandle, name: string, options: ContainerOptions = {}): Promise<string> {
    const { containerId } = await this.cri.call("createContainer", {
      podSandboxId: pod.id,
      sandboxConfig: pod.config,
      config: {
        metadata: { name, attempt: 0 },
        image: { image: IMAGE },
        command: [...(options.command ?? ["/probe"])],
        envs: Object.entries(options.env ?? {}).map(([key, value]) => ({ key, value })),
        logPath: `${name}.log`,
        CDIDevices: (options.cdi ?? []).map((id) => ({ name: id })),
        linux: {
          resources: {
            cpuShares: 2n,
            cpuPeriod: 100_000n,
            ...(options.quota === undefined ? {} : { cpuQuota: options.quota }),
            ...(options.cpus === undefined ? {} : { cpusetCpus: options.cpus }),
          },
        },
      },
    });
    return containerId;
  }

  async start(pod: PodHandle, name: string, id: string): Promise<ContainerHandle> {
    await this.cri.call("startContainer", { containerId: id });
    const { info } = await this.cri.call("containerStatus", { containerId: id, verbose: true });
    const { pid } = JSON.parse(info["info"] ?? "{}") as { pid: number };
    const unit = this.#root.endsWith(".slice") ? `cri-containerd-${id}.scope` : id;
    const log = join(pod.logs, `${name}.log`);
    return {
      id,
      name,
      pod,
      pid,
      cgroup: `${pod.cgroup}/${unit}`,
      allowed: () => list(readFileSync(`/proc/${pid}/status`, "utf8")),
      first: () => list(readFileSync(log, "utf8")),
      environment: () => [...readFileSync(log, "utf8").matchAll(/ (DRA_\S+=\S*)/g)].map(([, line]) => line ?? ""),
    };
  }

  async run(pod: PodHandle, name: string, options: ContainerOptions = {}): Promise<ContainerHandle> {
    return this.start(pod, name, await this.create(pod, name, options));
  }

  async remove(container: Pick<ContainerHandle, "id">, grace = 0n): Promise<void> {
    await this.cri.call("stopContainer", { containerId: container.id, timeout: grace });
    await this.cri.call("removeContainer", { containerId: container.id });
  }

  async removePod(pod: Pick<PodHandle, "id">): Promise<void> {
    await this.cri.call("stopPodSandbox", { podSandboxId: pod.id });
    await this.cri.call("removePodSandbox", { podSandboxId: pod.id });
    const cgroup = this.#cgroups.get(pod.id);
    if (cgroup !== undefined) removeCgroup(cgroup);
    this.#cgroups.delete(pod.id);
  }

  async removeAll(): Promise<void> {
    const { items } = await this.cri.call("listPodSandbox", {});
    for (const pod of items) await this.removePod(pod);
  }
}

/** As the kubelet: the runtime leaves a pod's own cgroup behind, in each hierarchy. */
function removeCgroup(path: string): void {
  const hierarchies = readdirSync(CGROUPS, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of [{ name: "" }, ...hierarchies]) {
    try {
      rmdirSync(join(CGROUPS, name, path));
    } catch {
      // Not of this hierarchy, or something of the pod is left; the root is taken away with all below it at the end.
    }
  }
}

function list(text: string): string {
  return /Cpus_allowed_list:\s*(\S+)/.exec(text)?.[1] ?? "";
}
