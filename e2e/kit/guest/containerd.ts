import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { Pods } from "../containerd/pods.ts";
import { Cri } from "../cri/client.ts";
import { listens, startDaemon, until, type Daemon } from "../node/processes.ts";

const SOCKET = "/run/containerd/containerd.sock";

export interface GuestContainerdOptions {
  readonly dir?: string;
  /** A shim of its version lies beside it; by default the guest's own. */
  readonly program?: string;
  /** runc asks systemd for cgroups, as where a kubelet's `cgroupDriver` is systemd. */
  readonly systemd?: boolean;
}

/** containerd inside the guest; hooks may take long there. One at a time. */
export class GuestContainerd {
  readonly dir: string;
  readonly #program: string;
  readonly #root: string;
  readonly nriSocket = "/var/run/nri/nri.sock";
  readonly cdiDir = "/var/run/cdi";
  readonly cpusets = "/sys/fs/cgroup/kubepods";
  #hasImage = false;
  #daemon: Daemon | undefined;
  #cri: Cri | undefined;
  #pods: Pods | undefined;

  constructor({ dir = "/tmp/lab", program = "/bin/containerd", systemd = false }: GuestContainerdOptions = {}) {
    this.#root = systemd ? "kubepods.slice" : "/kubepods";
    this.dir = dir;
    this.#program = program;
  }

  get pods(): Pods {
    if (this.#pods === undefined) throw new Error("not started");
    return this.#pods;
  }

  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error("not started");
    return this.#daemon;
  }

  /** Also once more, after it was killed. @param listening called when it does; it has no image then. */
  async start(listening: () => void = () => {}): Promise<void> {
    mkdirSync(`${this.dir}/log`, { recursive: true });
    const config = `${this.dir}/containerd.toml`;
    writeFileSync(
      config,
      // In memory, which an emulated disk is not.
      `version = 3
root = '${this.dir}/root'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'localhost/probe:1'
[plugins.'io.containerd.cri.v1.runtime']
  enable_cdi = true
${this.#runtimes()}[plugins.'io.containerd.nri.v1.nri']
  disable = false
  plugin_request_timeout = '20s'
  plugin_registration_timeout = '30s'
`,
    );
    this.#daemon = startDaemon("containerd", [this.#program, "-c", config, "-l", "info"], {
      logDir: `${this.dir}/log`,
      // As many as the emulator has: threads that look for work on 16 CPUs take it away.
      env: { ...process.env, GOMAXPROCS: "2" },
    });
    await until("containerd listens", () => listens(SOCKET), 60_000, 100);
    listening();
    if (!this.#hasImage)
      execFileSync("ctr", ["-n", "k8s.io", "images", "import", "/job/probe.tar"], { stdio: "ignore" });
    this.#hasImage = true;
    this.#cri?.close();
    const cri = new Cri(SOCKET);
    this.#cri = cri;
    await until("the CRI answers", async () => (await cri.call("version", { version: "v1" })).runtimeName, 60_000, 200);
    this.#pods = new Pods(cri, this.dir, this.#root);
  }

  /** By the names that pods ask for. */
  #runtimes(): string {
    const isSystemd = this.#root.endsWith(".slice");
    const runtime = (name: string): string => `[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.${name}]
  runtime_type = 'io.containerd.runc.v2'
  runtime_path = '${this.#program}-shim-runc-v2'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.${name}.options]
  BinaryName = '/bin/${name}'
  SystemdCgroup = ${isSystemd}
`;
    return ["runc", ...(isSystemd ? ["crun"] : [])].map(runtime).join("");
  }

  async removeAll(): Promise<void> {
    await this.#pods
      ?.removeAll()
      .catch((cause: unknown) => console.log(`cannot remove all: ${(cause as Error).message}`));
  }

  async stop(): Promise<void> {
    await this.removeAll();
    this.#cri?.close();
    await this.#daemon?.stop();
  }
}
