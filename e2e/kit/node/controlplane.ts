import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiHttp } from "@dracpu/driver/apiserver/http.ts";
import { binary } from "../../build/build.ts";
import { makeCertificates, writeKubeconfig } from "./certificates.ts";
import { tokens } from "./configs.ts";
import { startDaemon, until, type Daemon } from "./processes.ts";

export interface ControlPlaneOptions {
  /** Of API server and scheduler, such as `DRAListTypeAttributes=true`. */
  readonly featureGates?: string;
  readonly scheduler?: boolean;
}

const running = new Set<ControlPlane>();
process.on("exit", () => {
  for (const one of running) one.kill();
});

/**
 * A real etcd, API server and scheduler without a node: for questions that only they can answer. On free ports of this machine's loopback, so it needs no
 * namespace and no root.
 */
export class ControlPlane {
  readonly dir = mkdtempSync(join(tmpdir(), "cp-"));
  readonly kubeconfig = join(this.dir, "kubeconfig");
  readonly #daemons: Daemon[] = [];
  #http: ApiHttp | undefined;

  async start(options: ControlPlaneOptions = {}): Promise<void> {
    running.add(this);
    const pki = join(this.dir, "pki");
    mkdirSync(pki);
    makeCertificates(pki);
    writeFileSync(join(pki, "tokens.csv"), tokens([]));
    const [client = 0, peer = 0, secure = 0, metrics = 0] = await freePorts(4);
    const etcd = `http://127.0.0.1:${client}`;
    const gates = options.featureGates === undefined ? [] : [`--feature-gates=${options.featureGates}`];
    writeKubeconfig(this.kubeconfig, `https://127.0.0.1:${secure}`, join(pki, "ca.crt"), "admin");
    this.#daemon("etcd", [
      binary("etcd", "etcd"),
      ...["--data-dir", join(this.dir, "etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd],
      ...["--listen-peer-urls", `http://127.0.0.1:${peer}`, "--unsafe-no-fsync", "--log-level", "warn"],
    ]);
    this.#daemon("kube-apiserver", [
      binary("kube", "kube-apiserver"),
      `--etcd-servers=${etcd}`,
      "--service-cluster-ip-range=10.96.0.0/16",
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${join(pki, "sa.pub")}`,
      `--service-account-signing-key-file=${join(pki, "sa.key")}`,
      `--token-auth-file=${join(pki, "tokens.csv")}`,
      "--authorization-mode=RBAC",
      `--secure-port=${secure}`,
      "--bind-address=127.0.0.1",
      "--advertise-address=10.200.0.1",
      `--tls-cert-file=${join(pki, "api.crt")}`,
      `--tls-private-key-file=${join(pki, "api.key")}`,
      "--endpoint-reconciler-type=none",
      // No controller makes service accounts or takes the taint off new nodes.
      "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition",
      "--max-requests-inflight=3000",
      "--max-mutating-requests-inflight=1000",
      ...gates,
    ]);
    this.#http = new ApiHttp(this.kubeconfig);
    await until("the API server is ready", async () => this.request("GET", "/api/v1/namespaces/default"), 60_000, 100);
    if (options.scheduler !== true) return;
    const config = join(this.dir, "scheduler.json");
    writeFileSync(
      config,
      JSON.stringify({
        apiVersion: "kubescheduler.config.k8s.io/v1",
        kind: "KubeSchedulerConfiguration",
        clientConnection: { kubeconfig: this.kubeconfig, qps: 1000, burst: 2000 },
        leaderElection: { leaderElect: false },
      }),
    );
    this.#daemon("kube-scheduler", [
      binary("kube", "kube-scheduler"),
      `--config=${config}`,
      "--bind-address=127.0.0.1",
      `--secure-port=${metrics}`,
      ...gates,
    ]);
  }

  /** @throws ApiFault */
  request<T>(
    method: "GET" | "POST" | "PATCH" | "DELETE",
    path: string,
    body?: unknown,
    contentType?: string,
  ): Promise<T> {
    const [route = "", search = ""] = path.split("?");
    if (this.#http === undefined) throw new Error("the control plane was not started");
    return this.#http.json<T>({
      method,
      path: route,
      query: Object.fromEntries(new URLSearchParams(search)),
      ...(body === undefined ? {} : { body }),
      ...(contentType === undefined ? {} : { contentType }),
      signal: AbortSignal.timeout(60_000),
    });
  }

  /** Peak of the resident memory of a daemon, in MB (`VmHWM`, proc_pid_status(5)). */
  peakMB(name: string): number {
    const pid = this.#daemons.find((one) => one.name === name)?.pid ?? 0;
    const text = readFileSync(`/proc/${pid}/status`, "utf8");
    return Math.round(Number(/VmHWM:\s*(\d+) kB/.exec(text)?.[1]) / 1024);
  }

  async stop(): Promise<void> {
    for (const daemon of [...this.#daemons].reverse()) await daemon.stop();
    this.kill();
    running.delete(this);
  }

  /** Synchronous, for an exit that cannot wait. */
  kill(): void {
    for (const daemon of this.#daemons) daemon.signal("SIGKILL");
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  #daemon(name: string, argv: readonly string[]): void {
    this.#daemons.push(startDaemon(name, argv, { logDir: this.dir }));
  }
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, "127.0.0.1", () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  for (const server of servers) server.close();
  return ports;
}
