import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { binary } from "../../build/build.ts";
import { Cri } from "../cri/client.ts";
import { writeImage } from "../image/image.ts";
import { below, containerdConfig, type ContainerdSettings } from "../node/configs.ts";
import { startDaemon, until, type Daemon } from "../node/processes.ts";
import { Pods } from "./pods.ts";

const run = promisify(execFile);
const live = new Set<Containerd>();
process.on("exit", () => {
  for (const one of live) {
    one.killAll();
    rmSync(one.dir, { recursive: true, force: true });
  }
});

export type ContainerdOptions = Partial<Pick<ContainerdSettings, "requestTimeout" | "cdiIsOff">>;

/** A real containerd on this machine, in a mount namespace of its own, without a kubelet. */
export class Containerd {
  readonly dir: string;
  readonly version: "2.4" | "2.1";
  readonly nriSocket: string;
  readonly cdiDir: string;
  readonly socket: string;
  /** Top-level cgroup of its pods. */
  readonly root: string;
  readonly #settings: ContainerdOptions;
  #daemon: Daemon | undefined;
  #cri: Cri | undefined;
  #pods: Pods | undefined;

  constructor(version: "2.4" | "2.1", options: ContainerdOptions = {}) {
    this.version = version;
    this.#settings = options;
    this.dir = mkdtempSync(join(tmpdir(), "dc-"));
    live.add(this);
    this.nriSocket = join(this.dir, "nri", "nri.sock");
    this.cdiDir = join(this.dir, "cdi");
    this.socket = join(this.dir, "run", "containerd.sock");
    this.root = `/dracpu-${this.dir.slice(-6)}`;
  }

  /** Of its pods in the cpuset hierarchy. */
  get cpusets(): string {
    return `/sys/fs/cgroup/cpuset${this.root}`;
  }

  get pods(): Pods {
    if (this.#pods === undefined) throw new Error("not started");
    return this.#pods;
  }

  get daemon(): Daemon {
    if (this.#daemon === undefined) throw new Error("not started");
    return this.#daemon;
  }

  async start(): Promise<void> {
    const product = this.version === "2.4" ? "containerd" : "containerd-2.1";
    for (const dir of ["run", "cdi", "nri", "cni", "log"]) mkdirSync(join(this.dir, dir), { recursive: true });
    const runc = binary("runc", "runc");
    writeFileSync(
      join(this.dir, "containerd.toml"),
      containerdConfig({
        ...below(this.dir),
        shim: binary(product, "containerd-shim-runc-v2"),
        runc,
        cniBin: dirname(binary("cni", "bridge")),
        requestTimeout: "2s",
        ...this.#settings,
      }),
    );
    const path = [binary(product, "ctr"), runc].map((file) => file.slice(0, file.lastIndexOf("/"))).join(":");
    this.#daemon = startDaemon(
      "containerd",
      [
        "unshare",
        "-m",
        "--propagation",
        "private",
        binary(product, "containerd"),
        "-c",
        join(this.dir, "containerd.toml"),
        "-l",
        "info",
      ],
      { logDir: join(this.dir, "log"), env: { ...process.env, PATH: `${path}:${process.env["PATH"] ?? ""}` } },
    );
    const ctr = binary(product, "ctr");
    await until("containerd answers", async () => (await run(ctr, ["-a", this.socket, "version"])).stdout !== "");
    if (!existsSync(join(this.dir, "probe.tar"))) {
      writeImage(join(this.dir, "probe.tar"));
      await run(ctr, ["-a", this.socket, "-n", "k8s.io", "images", "import", join(this.dir, "probe.tar")]);
    }
    this.#cri = new Cri(this.socket);
    this.#pods = new Pods(this.#cri, this.dir, this.root);
    await until("the CRI answers", async () => (await this.#cri?.call("version", { version: "v1" }))?.runtimeName);
  }

  async stop(): Promise<void> {
    await this.#pods?.removeAll().catch(() => {
      // What does not go in peace is killed below.
    });
    this.#cri?.close();
    await this.#daemon?.stop();
    this.killAll();
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
    live.delete(this);
  }

  /** Synchronous, for an exit that cannot wait. */
  killAll(): void {
    this.#daemon?.signal("SIGKILL");
    for (const name of readdirSync("/proc")) {
      if (!/^\d+$/.test(name)) continue;
      try {
        const ours =
          readFileSync(`/proc/${name}/cmdline`, "utf8").includes(this.dir) ||
          readFileSync(`/proc/${name}/cgroup`, "utf8").includes(`${this.root}/`);
        if (ours && Number(name) !== process.pid) process.kill(Number(name), "SIGKILL");
      } catch {
        // It went away while it was looked at.
      }
    }
    const roots = (): string[] =>
      readdirSync("/sys/fs/cgroup")
        .map((name) => join("/sys/fs/cgroup", name, this.root))
        .filter((dir) => existsSync(dir));
    const end = Date.now() + 15_000;
    while (roots().length > 0 && Date.now() < end) {
      for (const dir of roots()) {
        try {
          execFileSync("find", [dir, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"], { stdio: "ignore" });
        } catch {
          // Still a process in one of them.
        }
      }
    }
  }
}
