import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { binary } from "../../build/build.ts";
import { writeImage } from "../image/image.ts";
import { Cluster } from "./cluster.ts";
import { below, containerdConfig, cniConfig, kubeletConfig } from "./configs.ts";
import { kill, until } from "./processes.ts";

export const NODE_NAME = "node-a";

export interface NodeOptions {
  /** The kubelet's; Prepare is retried after 1 to 1.5 times that. */
  readonly syncFrequency?: string;
  readonly nriRequestTimeout?: string;
}

/** A real Kubernetes cluster and its one node on this machine: containerd with NRI and CDI, runc, a bridge, kubelet. What it writes elsewhere is cgroups, which are removed at the end. */
export class RealNode extends Cluster {
  readonly kubeletRootDir: string;
  readonly nriSocket: string;
  readonly cdiDir: string;
  readonly criSocket: string;
  /** Directory in which the kubelet looks for pods of its own. */
  readonly staticPods: string;
  readonly #options: NodeOptions;

  constructor(options: NodeOptions = {}) {
    super([NODE_NAME]);
    this.#options = options;
    this.kubeletRootDir = join(this.dir, "kl");
    this.nriSocket = join(this.dir, "nri", "nri.sock");
    this.cdiDir = join(this.dir, "cdi");
    this.staticPods = join(this.dir, "manifests");
    this.criSocket = join(this.dir, "run", "containerd.sock");
  }

  /** @returns milliseconds from nothing to a Ready node. */
  async start(): Promise<number> {
    const began = Date.now();
    await this.prepare();
    for (const dir of ["run", "kl", "cdi", "nri", "cni", "img", "manifests"]) mkdirSync(join(this.dir, dir));
    writeImage(join(this.dir, "img", "probe.tar"));
    this.startApiServer();
    this.startContainerd();
    await Promise.all([this.apiReady(), this.containerdReady()]);
    this.startControllers();
    this.startKubelet();
    await this.nodesReady([NODE_NAME]);
    return Date.now() - began;
  }

  startContainerd(nriIsOff = false): void {
    writeFileSync(
      join(this.dir, "containerd.toml"),
      containerdConfig({
        ...below(this.dir),
        shim: binary("containerd", "containerd-shim-runc-v2"),
        runc: binary("runc", "runc"),
        cniBin: dirname(binary("cni", "bridge")),
        nriIsOff,
        requestTimeout: this.#options.nriRequestTimeout ?? "2s",
      }),
    );
    writeFileSync(
      join(this.dir, "cni", "10-bridge.conflist"),
      cniConfig("10.244.0.0/24", join(this.dir, "run", "cni")),
    );
    const dirs = [binary("runc", "runc"), binary("containerd", "ctr")].map((path) =>
      path.slice(0, path.lastIndexOf("/")),
    );
    this.host(
      "containerd",
      [binary("containerd", "containerd"), "-c", join(this.dir, "containerd.toml"), "-l", "info"],
      {
        PATH: [...dirs, process.env["PATH"] ?? ""].join(":"),
      },
    );
  }

  async containerdReady(): Promise<void> {
    const ctr = (...args: string[]): Promise<string> =>
      this.run(binary("containerd", "ctr"), ["-a", this.criSocket, ...args]);
    await until("containerd answers", async () => (await ctr("version")) !== "");
    await ctr("-n", "k8s.io", "images", "import", join(this.dir, "img", "probe.tar"));
  }

  /** @param more of its configuration. */
  startKubelet(syncFrequency = this.#options.syncFrequency ?? "10s", more: object = {}): void {
    const config = kubeletConfig({
      containerRuntimeEndpoint: `unix://${this.criSocket}`,
      clientCAFile: join(this.dir, "pki", "ca.crt"),
      address: "10.200.0.1",
      more: { failCgroupV1: false, syncFrequency, staticPodPath: this.staticPods, ...more },
    });
    writeFileSync(join(this.dir, "kubelet.yaml"), config);
    this.host("kubelet", [
      binary("kube", "kubelet"),
      "--config",
      join(this.dir, "kubelet.yaml"),
      "--kubeconfig",
      join(this.dir, `${NODE_NAME}.kubeconfig`),
      "--root-dir",
      this.kubeletRootDir,
      "--hostname-override",
      NODE_NAME,
      "--node-ip",
      "10.200.0.1",
      "--cert-dir",
      join(this.dir, "pki", "kubelet"),
      "-v=2",
    ]);
  }

  /** Pods first, then daemons, then what is left of containers and cgroups. */
  override async stop(): Promise<void> {
    try {
      // Nobody makes pods anew that are deleted here.
      await this.daemon("kube-controller-manager").stop();
      this.daemon("kubelet");
      await this.kubectl(
        ...["delete", "pods", "--all", "--all-namespaces", "--grace-period=0", "--force", "--wait=false"],
      );
      await until("containers are gone", () => this.containerPids().length === 0, 4000);
    } catch {
      // What does not go in peace is killed below.
    }
    await super.stop();
  }

  override killAll(): void {
    super.killAll();
    for (const pid of pidsOf((line) => line.includes("containerd-shim-runc-v2") && line.includes(this.dir))) kill(pid);
    const end = Date.now() + 15_000;
    do {
      // A cgroup that goes away hides what is in the next one.
      for (const pid of this.containerPids()) kill(pid);
    } while (!removeCgroups() && Date.now() < end && execFileSync("sleep", ["0.1"]) !== undefined);
  }

  /** Processes of containers, by the cgroup they are in. */
  containerPids(): number[] {
    const found: number[] = [];
    const walk = (dir: string): void => {
      for (const entry of readdirSync(dir, { withFileTypes: true }))
        if (entry.isDirectory()) walk(join(dir, entry.name));
      found.push(
        ...readFileSync(join(dir, "cgroup.procs"), "utf8")
          .split("\n")
          .filter((line) => line !== "")
          .map(Number),
      );
    };
    try {
      for (const root of cgroupRoots()) walk(root);
    } catch {
      // A cgroup went away while it was looked at.
    }
    return [...new Set(found)];
  }
}

function cgroupRoots(): string[] {
  const root = "/sys/fs/cgroup";
  const dirs = existsSync(join(root, "cgroup.controllers"))
    ? [root]
    : readdirSync(root).map((name) => join(root, name));
  return dirs.map((dir) => join(dir, "kubepods")).filter((dir) => existsSync(dir));
}

/** @returns true where none is left. */
function removeCgroups(): boolean {
  for (const root of cgroupRoots()) {
    try {
      execFileSync("find", [root, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"], { stdio: "ignore" });
    } catch {
      // Still a process in one of them.
    }
  }
  return cgroupRoots().length === 0;
}

function pidsOf(matches: (commandLine: string) => boolean): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return matches(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
      } catch {
        return false;
      }
    })
    .map(Number);
}
