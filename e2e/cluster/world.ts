import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { expect } from "chai";
import { buildImages } from "../../images/build.ts";
import { binary } from "../build/build.ts";
import { Helm, NAMESPACE, RELEASE } from "../kit/node/helm.ts";
import { NODE_NAME, RealNode } from "../kit/node/node.ts";
import { until } from "../kit/node/processes.ts";
import { pidsIn } from "../node/kernel.ts";
import { NodePods } from "../node/nodepods.ts";

export { NAMESPACE, NODE_NAME, RELEASE, until };

/** Tag of images with the same programs as the release's, for what changes an image. */
export const NEXT = "next";
export const REPOSITORY = "localhost/dra-driver-cpu";

/** A container of the driver's pod, by what API server and kernel say of it. */
export interface OwnContainer {
  readonly name: "driver" | "nri-agent";
  readonly image: string;
  readonly restarts: number;
  readonly id: string;
  readonly pid: number;
}

interface PodJson {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly status: Readonly<
    Record<"containerStatuses" | "initContainerStatuses", readonly ContainerStatus[] | undefined>
  >;
}
interface ContainerStatus {
  readonly name: OwnContainer["name"];
  readonly image: string;
  readonly containerID?: string;
  readonly restartCount: number;
}

/** The suite's node, on which the product is nothing but what helm installs from the images. */
export class ClusterWorld extends NodePods {
  readonly helm: Helm;
  isStopped = false;

  constructor() {
    super(new RealNode({ syncFrequency: "10s" }));
    this.helm = new Helm(this.node);
  }

  async start(): Promise<void> {
    const out = join(this.node.dir, "images");
    mkdirSync(out);
    const [built, ms] = await Promise.all([buildImages(out, { tags: [VERSION, NEXT] }), this.node.start()]);
    console.log(`    images of both programs together: ${(built.bytes / 1e6).toFixed(1)} MB uncompressed`);
    if (built.bytes > 130e6) throw new Error("the images are larger than 130 MB");
    await this.importImages(built.archive);
    // So that everything can have its default path, as on a node that is somebody's.
    const { kubeletRootDir, cdiDir, nriSocket } = this.node;
    for (const [from, to] of [
      [kubeletRootDir, "/var/lib/kubelet"],
      [cdiDir, "/run/cdi"],
      [dirname(nriSocket), "/run/nri"],
    ] as const)
      await this.node.run("sh", ["-c", `mkdir -p ${to} && mount --rbind ${from} ${to}`]);
    console.log(`    node Ready in ${(ms / 1000).toFixed(1)} s`);
  }

  async importImages(archive: string): Promise<void> {
    const ctr = ["-a", this.node.criSocket, "-n", "k8s.io", "images", "import", "--local", archive];
    await this.node.run(binary("containerd", "ctr"), ctr);
  }

  /** As people without helm install, change and upgrade the product. */
  async applyManifest(file: string): Promise<void> {
    await this.node.kubectl("apply", "-f", file);
    await this.node.kubectl("rollout", "status", "-n", NAMESPACE, `daemonset/${RELEASE}`, "--timeout=90s");
    await this.ready();
  }

  /** Name of the one pod of the product; there is one where it is installed and nothing is being replaced. */
  async ownPod(): Promise<PodJson> {
    const { items } = await this.node.json<{ items: PodJson[] }>(
      ...["get", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=node"],
    );
    const [pod, another] = items.filter((one) => one.metadata.deletionTimestamp === undefined);
    if (pod === undefined || another !== undefined) throw new Error(`there are ${items.length} pods of the product`);
    return pod;
  }

  async own(name: OwnContainer["name"]): Promise<OwnContainer> {
    const { metadata, status } = await this.ownPod();
    const all = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
    const found = all.find((one) => one.name === name);
    const id = found?.containerID?.replace("containerd://", "") ?? "";
    const cgroup = join("/sys/fs/cgroup/cpuset/kubepods/burstable", `pod${metadata.uid}`, id);
    return {
      name,
      image: found?.image ?? "",
      restarts: found?.restartCount ?? -1,
      id,
      pid: id === "" ? 0 : (pidsIn(cgroup)[0] ?? 0),
    };
  }

  /** Runs a program in one of the two containers, as a person would. */
  async inOwn(name: OwnContainer["name"], ...argv: string[]): Promise<string> {
    return this.node.kubectl("exec", "-n", NAMESPACE, await this.#name(), "-c", name, "--", ...argv);
  }

  /** The command line of {@link inOwn}, for a shell: its output may be no text. */
  async execCommand(name: OwnContainer["name"], ...argv: string[]): Promise<string> {
    const kubectl = `${binary("kube", "kubectl")} --kubeconfig ${this.node.kubeconfig}`;
    return `${kubectl} exec -n ${NAMESPACE} ${await this.#name()} -c ${name} -- ${argv.join(" ")}`;
  }

  async ownLogs(name: OwnContainer["name"]): Promise<string> {
    return this.node.kubectl("logs", "-n", NAMESPACE, await this.#name(), "-c", name);
  }

  async #name(): Promise<string> {
    return (await this.ownPod()).metadata.name;
  }

  /** Of every start that {@link ready} has seen. */
  readonly starts = { driver: new Map<string, number>(), "nri-agent": new Map<string, number>() };

  /** Milliseconds that the program needed from its first instruction to answering sockets, by its own word. */
  async #startedIn(name: OwnContainer["name"]): Promise<void> {
    const { id } = await this.own(name);
    const line = (await this.ownLogs(name)).split("\n").find((one) => one.includes('"serving"'));
    this.starts[name].set(id, (JSON.parse(line ?? "{}") as { afterMs: number }).afterMs);
  }

  state<T>(): Promise<T> {
    return this.inOwn("driver", "dracpu", "state", "-o", "json").then((text) => JSON.parse(text) as T);
  }

  /** The product's pod is another one, of these images, and ready. @returns its uid */
  async replaced(before: string, tag: string): Promise<string> {
    await this.ready();
    const { metadata } = await this.ownPod();
    expect(metadata.uid, "the product's pod").not.to.equal(before);
    for (const name of ["driver", "nri-agent"] as const)
      expect((await this.own(name)).image).to.equal(`${REPOSITORY}/${name}:${tag}`);
    return metadata.uid;
  }

  /** Waits until both containers are ready, and say that nothing keeps them from working. */
  async ready(): Promise<void> {
    await until(
      "the product's pod is ready",
      async () => {
        const { metadata } = await this.ownPod();
        const path = ["get", "pod", "-n", NAMESPACE, metadata.name, "-o"];
        const text = await this.node.kubectl(
          ...path,
          'jsonpath={.status.conditions[?(@.type=="Ready")].status}{.status.initContainerStatuses[?(@.name=="nri-agent")].ready}',
        );
        return text === "Truetrue";
      },
      60_000,
      200,
    );
    await this.#startedIn("driver");
    await this.#startedIn("nri-agent");
  }

  /** Pods `claimed`, which has the CPU that there is to claim, and `shared`: left by the parts before, where these ran. */
  async twoPods(): Promise<void> {
    const there = (await this.node.kubectl("get", "pods", "-o", "name")).split("\n");
    for (const pod of [{ name: "claimed", template: "one" }, { name: "shared" }]) {
      if (!there.includes(`pod/${pod.name}`)) await this.createPod(pod);
      await this.running(pod.name);
    }
  }

  /** A node that is an object alone. One that is not ready is as one that cannot be reached: a DaemonSet's pods are sent to it, and nothing else. */
  async objectNode(name: string, isReady: boolean, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    const room = { cpu: "16", memory: "64Gi", pods: "110" };
    const now = new Date().toISOString();
    const said = { reason: "Made", message: "made", lastHeartbeatTime: now, lastTransitionTime: now };
    const conditions = [{ type: "Ready", status: isReady ? "True" : "Unknown", ...said }];
    const status = { allocatable: room, capacity: room, conditions };
    // As every kubelet labels its own.
    const own = { "kubernetes.io/os": "linux", ...labels };
    await this.node.apply({ apiVersion: "v1", kind: "Node", metadata: { name, labels: own } });
    await this.node.kubectl(
      ...["patch", "node", name, "--subresource=status", "--type=merge", "-p", JSON.stringify({ status })],
    );
  }

  /** The driver's pods on a node without a kubelet, which go by force alone. */
  async removeOwnOn(node: string): Promise<void> {
    const there = ["--field-selector", `spec.nodeName=${node}`, "--grace-period=0", "--force"];
    await this.node.kubectl("delete", "pods", "-n", NAMESPACE, ...there);
  }

  async removeAll(): Promise<void> {
    await this.node.kubectl("delete", "pods", "--all", "--wait=true", "--timeout=60s");
  }

  /** What is on the node of this product, one line a thing. Directories do not count. */
  async traces(): Promise<string[]> {
    const { kubeletRootDir, cdiDir } = this.node;
    const found = await this.node
      .run("find", [
        ...["/var/lib/dra-driver-cpu", "/run/dra-driver-cpu", `${kubeletRootDir}/plugins/dra.cpu`],
        ...[`${kubeletRootDir}/plugins_registry`, cdiDir, "-not", "-type", "d"],
      ])
      .catch((cause: unknown) => (/No such file/.test(String(cause)) ? "" : Promise.reject(cause as Error)));
    const slices = await this.node.kubectl("get", "resourceslices", "-o", "name");
    return `${found}${slices}`.split("\n").filter((line) => line !== "");
  }

  /** Pods of a clean-up that has ended take their locks away as they end. */
  async nothingIsLeft(): Promise<void> {
    let last: readonly string[] = [];
    await until("nothing is left", async () => (last = await this.traces()).length === 0, 30_000, 500).catch(() => {
      throw new Error(`of the product are left: ${last.join(", ")}`);
    });
  }

  async stop(): Promise<void> {
    if (this.isStopped) return;
    this.isStopped = true;
    await this.node.stop();
  }
}
