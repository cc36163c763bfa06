import { execFile, execFileSync, spawn } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binary } from "../../build/build.ts";
import { writeImage } from "../image/image.ts";
import { makeCertificates, writeKubeconfig } from "./certificates.ts";
import { containerdConfig, cniConfig, kubeletConfig, TOKENS } from "./configs.ts";
import { startDaemon, until, type Daemon } from "./processes.ts";

export const NODE_NAME = "node-a";

export interface NodeOptions {
  /** The kubelet's; Prepare is retried after 1 to 1.5 times that. */
  readonly syncFrequency?: string;
  readonly nriRequestTimeout?: string;
}

/** What stops an earlier node that a crash left behind, too. */
const running = new Set<RealNode>();
process.on("exit", () => {
  for (const node of running) {
    node.killAll();
    rmSync(node.dir, { recursive: true, force: true });
  }
});
for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));

/**
 * A real Kubernetes node in network and mount namespaces of its own: etcd, API server, controller manager, scheduler, containerd with NRI and CDI,
 * runc, a bridge, kubelet. Everything it writes is below one directory, but for cgroups, which are removed at the end.
 */
export class RealNode {
  readonly dir: string;
  readonly kubeconfig: string;
  readonly kubeletRootDir: string;
  readonly nriSocket: string;
  readonly cdiDir: string;
  readonly criSocket: string;
  readonly #options: NodeOptions;
  readonly #daemons = new Map<string, Daemon>();
  #holder = 0;
  /** Its mount and network namespaces as the kernel names them, such as `mnt:[4026532301]`. */
  namespaces: readonly string[] = [];

  constructor(options: NodeOptions = {}) {
    this.#options = options;
    this.dir = mkdtempSync(join(tmpdir(), "dn-"));
    this.kubeconfig = join(this.dir, "admin.kubeconfig");
    this.kubeletRootDir = join(this.dir, "kl");
    this.nriSocket = join(this.dir, "nri", "nri.sock");
    this.cdiDir = join(this.dir, "cdi");
    this.criSocket = join(this.dir, "run", "containerd.sock");
  }

  /** @returns milliseconds from nothing to a Ready node. */
  async start(): Promise<number> {
    const began = Date.now();
    running.add(this);
    for (const dir of ["log", "pki", "etcd", "run", "kl", "cdi", "nri", "cni", "img"]) mkdirSync(join(this.dir, dir));
    await this.#namespaces();
    makeCertificates(join(this.dir, "pki"));
    writeFileSync(join(this.dir, "pki", "tokens.csv"), TOKENS);
    const ca = join(this.dir, "pki", "ca.crt");
    for (const [name, token] of [
      ["admin", "admin"],
      ["kcm", "kcm"],
      ["scheduler", "scheduler"],
      ["kubelet", "node"],
    ] as const) {
      writeKubeconfig(join(this.dir, `${name}.kubeconfig`), "https://127.0.0.1:443", ca, token);
    }
    writeImage(join(this.dir, "img", "probe.tar"));
    this.#daemon("etcd", [
      binary("etcd", "etcd"),
      "--data-dir",
      join(this.dir, "etcd"),
      "--listen-client-urls",
      "http://127.0.0.1:2379",
      "--advertise-client-urls",
      "http://127.0.0.1:2379",
      "--listen-peer-urls",
      "http://127.0.0.1:2380",
      "--unsafe-no-fsync",
      "--log-level",
      "warn",
    ]);
    this.startApiServer();
    this.startContainerd();
    await Promise.all([this.apiReady(), this.containerdReady()]);
    this.startControllers();
    this.startKubelet();
    await until(
      "the node is Ready and has a default service account",
      async () => {
        const ready = await this.kubectl(
          "get",
          "node",
          NODE_NAME,
          "-o",
          'jsonpath={.status.conditions[?(@.type=="Ready")].status}',
        );
        return ready === "True" && (await this.kubectl("get", "serviceaccount", "default", "-o", "name")) !== "";
      },
      60_000,
      100,
    );
    return Date.now() - began;
  }

  startApiServer(...flags: readonly string[]): void {
    const pki = (name: string): string => join(this.dir, "pki", name);
    this.#daemon("kube-apiserver", [
      binary("kube", "kube-apiserver"),
      "--etcd-servers=http://127.0.0.1:2379",
      "--service-cluster-ip-range=10.96.0.0/16",
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${pki("sa.pub")}`,
      `--service-account-signing-key-file=${pki("sa.key")}`,
      `--token-auth-file=${pki("tokens.csv")}`,
      "--authorization-mode=Node,RBAC",
      "--secure-port=443",
      "--bind-address=0.0.0.0",
      "--advertise-address=10.200.0.1",
      `--tls-cert-file=${pki("api.crt")}`,
      `--tls-private-key-file=${pki("api.key")}`,
      "--allow-privileged=true",
      "--endpoint-reconciler-type=none",
      `--kubelet-client-certificate=${pki("kc.crt")}`,
      `--kubelet-client-key=${pki("kc.key")}`,
      "--kubelet-preferred-address-types=InternalIP",
      "--runtime-config=resource.k8s.io/v1=true",
      ...flags,
    ]);
  }

  /** After the API server was away they come back by themselves, but may take half a minute: they back off. */
  startControllers(): void {
    const component = (name: string, ...args: readonly string[]): void => {
      this.#daemon(name, [binary("kube", name), "--leader-elect=false", "--bind-address=127.0.0.1", ...args]);
    };
    component(
      "kube-controller-manager",
      `--kubeconfig=${join(this.dir, "kcm.kubeconfig")}`,
      `--service-account-private-key-file=${join(this.dir, "pki", "sa.key")}`,
      `--root-ca-file=${join(this.dir, "pki", "ca.crt")}`,
      "--use-service-account-credentials=true",
    );
    component("kube-scheduler", `--kubeconfig=${join(this.dir, "scheduler.kubeconfig")}`);
  }

  startContainerd(nriIsOff = false): void {
    writeFileSync(
      join(this.dir, "containerd.toml"),
      containerdConfig(
        this.dir,
        binary("containerd", "containerd-shim-runc-v2"),
        binary("runc", "runc"),
        binary("cni", "bridge"),
        { isOff: nriIsOff, requestTimeout: this.#options.nriRequestTimeout ?? "2s" },
      ),
    );
    writeFileSync(join(this.dir, "cni", "10-bridge.conflist"), cniConfig(this.dir));
    const dirs = [binary("runc", "runc"), binary("containerd", "ctr")].map((path) =>
      path.slice(0, path.lastIndexOf("/")),
    );
    this.#daemon(
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

  async apiReady(): Promise<void> {
    await until(
      "the API server is ready",
      async () => (await this.kubectl("get", "--raw", "/readyz")) === "ok",
      60_000,
      100,
    );
  }

  /** @param more of its configuration. */
  startKubelet(syncFrequency = this.#options.syncFrequency ?? "10s", more: object = {}): void {
    writeFileSync(join(this.dir, "kubelet.yaml"), kubeletConfig(this.dir, syncFrequency, more));
    this.#daemon("kubelet", [
      binary("kube", "kubelet"),
      "--config",
      join(this.dir, "kubelet.yaml"),
      "--kubeconfig",
      join(this.dir, "kubelet.kubeconfig"),
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

  daemon(name: string): Daemon {
    const daemon = this.#daemons.get(name);
    if (daemon === undefined) throw new Error(`${name} was not started`);
    return daemon;
  }

  /** A program of ours as a process of the node's host. */
  host(name: string, argv: readonly string[], env: NodeJS.ProcessEnv = {}): Daemon {
    return this.#daemon(name, argv, env);
  }

  /** Runs a program in the node's namespaces. @returns its standard output. */
  run(program: string, args: readonly string[], stdin = ""): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = execFile(
        "nsenter",
        [...this.enter(), program, ...args],
        { maxBuffer: 64 << 20, timeout: 120_000, env: this.environment() },
        (cause, stdout, stderr) => {
          if (cause === null) resolve(stdout);
          else
            reject(
              new Error(
                `${program.split("/").pop() ?? ""} ${args.join(" ").slice(0, 200)}: ${stderr.trim().slice(0, 2000) || cause.message}`,
              ),
            );
        },
      );
      // A program that does not read its input may be gone before it is written.
      child.stdin?.on("error", () => {});
      child.stdin?.end(stdin);
    });
  }

  kubectl(...args: string[]): Promise<string> {
    return this.run(binary("kube", "kubectl"), ["--kubeconfig", this.kubeconfig, ...args]);
  }

  /** Creates objects. */
  async apply(...objects: readonly object[]): Promise<void> {
    const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
    await this.run(binary("kube", "kubectl"), ["--kubeconfig", this.kubeconfig, "create", "-f", "-"], list);
  }

  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl(...args, "-o", "json")) as T;
  }

  /** A shell of a person, with kubectl; ends when the person leaves it. */
  shell(environment: NodeJS.ProcessEnv): Promise<void> {
    const path = binary("kube", "kubectl");
    const child = spawn("nsenter", [...this.enter(), "/bin/bash", "--norc"], {
      stdio: "inherit",
      env: {
        ...this.environment(),
        ...environment,
        KUBECONFIG: this.kubeconfig,
        PATH: `${path.slice(0, path.lastIndexOf("/"))}:${process.env["PATH"] ?? ""}`,
      },
    });
    return new Promise((resolve) => {
      child.on("exit", () => resolve());
    });
  }

  /** Pods first, then daemons in reverse, then what is left of containers, cgroups, namespaces and files. */
  async stop(): Promise<void> {
    try {
      // Nobody makes pods anew that are deleted here.
      await this.#daemons.get("kube-controller-manager")?.stop();
      if (this.#daemons.has("kubelet"))
        await this.kubectl(
          ...["delete", "pods", "--all", "--all-namespaces", "--grace-period=0", "--force", "--wait=false"],
        );
      await until("containers are gone", () => this.containerPids().length === 0, 4000);
    } catch {
      // What does not go in peace is killed below.
    }
    for (const daemon of [...this.#daemons.values()].reverse()) if (daemon.name !== "etcd") await daemon.stop();
    await this.#daemons.get("etcd")?.stop();
    this.killAll();
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    running.delete(this);
  }

  /** Synchronous, for an exit that cannot wait: what can be left outside of the directory. */
  killAll(): void {
    for (const daemon of this.#daemons.values()) daemon.signal("SIGKILL");
    for (const pid of pidsOf((line) => line.includes("containerd-shim-runc-v2") && line.includes(this.dir))) kill(pid);
    if (this.#holder > 0) kill(this.#holder);
    const end = Date.now() + 3000;
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

  async #namespaces(): Promise<void> {
    const child = spawn("unshare", ["-m", "-n", "--propagation", "private", "sleep", "infinity"], { stdio: "ignore" });
    this.#holder = child.pid ?? 0;
    const own = readlinkSync("/proc/self/ns/net");
    await until("the namespaces are there", () => readlinkSync(`/proc/${this.#holder}/ns/net`) !== own, 5000, 10);
    this.namespaces = ["mnt", "net"].map((kind) => readlinkSync(`/proc/${this.#holder}/ns/${kind}`));
    // Kubernetes and CNI have paths that cannot all be configured: pod logs, device plugins, pinned network namespaces.
    for (const dir of ["/run", "/var/log", "/var/lib"]) await this.run("mount", ["-t", "tmpfs", "tmpfs", dir]);
    const ip = (...args: string[]): Promise<string> => this.run("ip", args);
    await ip("link", "set", "lo", "up");
    await ip("addr", "add", "10.96.0.1/32", "dev", "lo");
    try {
      await ip("link", "add", "dummy0", "type", "dummy");
      await ip("addr", "add", "10.200.0.1/24", "dev", "dummy0");
      await ip("link", "set", "dummy0", "up");
      await ip("route", "add", "default", "dev", "dummy0");
    } catch {
      await ip("addr", "add", "10.200.0.1/32", "dev", "lo");
    }
  }

  #daemon(name: string, argv: readonly string[], env: NodeJS.ProcessEnv = {}): Daemon {
    const daemon = startDaemon(name, ["nsenter", ...this.enter(), ...argv], {
      logDir: join(this.dir, "log"),
      env: { ...this.environment(), ...env },
    });
    this.#daemons.set(name, daemon);
    return daemon;
  }

  /** kubectl keeps a cache in the home directory. */
  environment(): NodeJS.ProcessEnv {
    return { ...process.env, HOME: this.dir };
  }

  /** Arguments of nsenter(1) that lead into the node. */
  enter(): string[] {
    return ["-t", String(this.#holder), "-m", "-n", `--wd=${this.dir}`];
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

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}
