import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { binary } from "../../build/build.ts";
import { makeCertificates, writeKubeconfig } from "./certificates.ts";
import { tokens } from "./configs.ts";
import { gateFlags } from "./gates.ts";
import { kill, startDaemon, until, type Daemon } from "./processes.ts";

/** What stops an earlier one that a crash left behind, too. */
const running = new Set<Cluster>();
process.on("exit", () => {
  for (const one of running) {
    one.killAll();
    rmSync(one.dir, { recursive: true, force: true });
  }
});
for (const signal of ["SIGHUP", "SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(130));

/**
 * A real etcd, API server, controller manager and scheduler, in network and mount namespaces of their own, and what a test does with them. Nodes come from elsewhere.
 * Everything it writes is below one directory.
 */
export class Cluster {
  readonly dir: string;
  readonly kubeconfig: string;
  readonly #nodes: readonly string[];
  readonly #daemons = new Map<string, Daemon>();
  #holder = 0;
  /** Its mount and network namespaces as the kernel names them, such as `mnt:[4026532301]`. */
  namespaces: readonly string[] = [];

  /** @param nodes names of nodes that may join, each with its kubeconfig `<node>.kubeconfig` in the directory. */
  constructor(nodes: readonly string[]) {
    this.#nodes = nodes;
    this.dir = mkdtempSync(join(tmpdir(), "dn-"));
    this.kubeconfig = join(this.dir, "admin.kubeconfig");
  }

  /** Namespaces, certificates, tokens, etcd; the API server can be started. */
  protected async prepare(): Promise<void> {
    running.add(this);
    for (const dir of ["log", "pki", "etcd"]) mkdirSync(join(this.dir, dir));
    await this.#namespaces();
    makeCertificates(join(this.dir, "pki"));
    writeFileSync(join(this.dir, "pki", "tokens.csv"), tokens(this.#nodes));
    for (const name of ["admin", "kcm", "scheduler", ...this.#nodes]) {
      const ca = join(this.dir, "pki", "ca.crt");
      writeKubeconfig(join(this.dir, `${name}.kubeconfig`), "https://127.0.0.1:443", ca, name);
    }
    this.host("etcd", [
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
  }

  /** The control plane, ready for nodes. */
  async startControlPlane(): Promise<void> {
    await this.prepare();
    this.startApiServer();
    await this.apiReady();
    this.startControllers();
  }

  /** Waits until nodes have joined, and pods can be made. */
  async nodesReady(nodes: readonly string[], ms = 60_000): Promise<void> {
    await until(
      `${nodes.join(" and ")} are Ready, and there is a default service account`,
      async () => {
        const path = 'jsonpath={.status.conditions[?(@.type=="Ready")].status}';
        for (const node of nodes) if ((await this.kubectl("get", "node", node, "-o", path)) !== "True") return false;
        return (await this.kubectl("get", "serviceaccount", "default", "-o", "name")) !== "";
      },
      ms,
      100,
    );
  }

  startApiServer(...flags: readonly string[]): void {
    const pki = (name: string): string => join(this.dir, "pki", name);
    this.host("kube-apiserver", [
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
      ...gateFlags(),
      ...flags,
    ]);
  }

  /** After the API server was away they come back by themselves, but may take half a minute: they back off. */
  startControllers(): void {
    const component = (name: string, ...args: readonly string[]): void => {
      const common = ["--leader-elect=false", "--bind-address=127.0.0.1", ...gateFlags()];
      this.host(name, [binary("kube", name), ...common, ...args]);
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

  async apiReady(): Promise<void> {
    await until(
      "the API server is ready",
      async () => (await this.kubectl("get", "--raw", "/readyz")) === "ok",
      60_000,
      100,
    );
  }

  daemon(name: string): Daemon {
    const daemon = this.#daemons.get(name);
    if (daemon === undefined) throw new Error(`${name} was not started`);
    return daemon;
  }

  /** A program as a process of the host that the namespaces make. */
  host(name: string, argv: readonly string[], env: NodeJS.ProcessEnv = {}): Daemon {
    const daemon = startDaemon(name, ["nsenter", ...this.enter(), ...argv], {
      logDir: join(this.dir, "log"),
      env: { ...this.environment(), ...env },
    });
    this.#daemons.set(name, daemon);
    return daemon;
  }

  /** Runs a program in the namespaces. @returns its standard output. */
  run(program: string, args: readonly string[], stdin = "", ms = 120_000): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = execFile(
        "nsenter",
        [...this.enter(), program, ...args],
        { maxBuffer: 64 << 20, timeout: ms, env: this.environment() },
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

  /** Daemons in reverse, and etcd last: the API server waits for it. Then what is left of processes, namespaces and files. */
  async stop(): Promise<void> {
    for (const daemon of [...this.#daemons.values()].reverse()) if (daemon.name !== "etcd") await daemon.stop();
    await this.#daemons.get("etcd")?.stop();
    this.killAll();
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    running.delete(this);
  }

  /** Synchronous, for an exit that cannot wait: what can be left outside of the directory. */
  killAll(): void {
    for (const daemon of this.#daemons.values()) daemon.signal("SIGKILL");
    if (this.#holder > 0) kill(this.#holder);
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

  /** kubectl keeps a cache in the home directory. */
  environment(): NodeJS.ProcessEnv {
    return { ...process.env, HOME: this.dir };
  }

  /** Arguments of nsenter(1) that lead into the namespaces. */
  enter(): string[] {
    return ["-t", String(this.#holder), "-m", "-n", `--wd=${this.dir}`];
  }
}
