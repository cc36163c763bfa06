import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { AgentProcess } from "../kit/agent/agent.ts";
import { CgroupTree } from "../kit/cgrouptree.ts";
import { DriverProcess } from "../kit/driver.ts";
import { FakeApiServer } from "../kit/fakecluster/apiserver.ts";
import { FakeKubelet } from "../kit/fakecluster/kubelet.ts";
import { FakeRuntime } from "../kit/fakeruntime/runtime.ts";

/** CPUs of the machine that both processes see. */
const ONLINE = "0-127";

interface Both<T> {
  readonly driver: T;
  readonly agent: T;
}

/** Both programs, unchanged, between an API server, a kubelet and a runtime that this process plays over real sockets. */
export class FakeWorld {
  /** As /var/run is on nodes. */
  readonly memory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "bw-"));
  readonly dir = mkdtempSync(join(tmpdir(), "bw-"));
  readonly api = new FakeApiServer();
  readonly kubelet = new FakeKubelet(join(this.dir, "kubelet"));
  readonly runtime = new FakeRuntime(join(this.dir, "nri.sock"));
  readonly cgroups = new CgroupTree(join(this.dir, "cg"), ONLINE);
  readonly agent: AgentProcess;
  readonly #programs: Both<readonly string[]>;
  readonly #env: Both<NodeJS.ProcessEnv> | undefined;
  #driver: DriverProcess | undefined;

  /** @param programs and their first arguments. */
  constructor(programs: Both<readonly string[]>, env?: Both<NodeJS.ProcessEnv>) {
    this.#programs = programs;
    this.#env = env;
    this.runtime.onUpdate = (update) => this.cgroups.set(update.containerId, update.linux?.resources?.cpu?.cpus ?? "");
    this.agent = new AgentProcess({
      dir: this.dir,
      argv: programs.agent,
      nriSocket: this.runtime.path,
      cdiDir: join(this.memory, "cdi"),
      lever: "runtime",
      online: CpuSet.parse(ONLINE),
      cgroupRoot: this.cgroups.root,
      byFile: true,
      ...(env === undefined ? {} : { env: env.agent }),
    });
  }

  get driver(): DriverProcess {
    if (this.#driver === undefined) throw new Error("the API server does not listen yet");
    return this.#driver;
  }

  async listen(): Promise<void> {
    await this.runtime.listen();
    await this.api.listen();
    const overlay = join(this.dir, "machine.yaml");
    // In the form that `dracpu topology` writes: the driver reads which CPUs are online before it gives some away, which on a node is one short file.
    const cpus = ["cpu/online", "cpu/present", "node/node0/cpulist"].map(
      (path) => `"/sys/devices/system/${path}": "${ONLINE}"\n`,
    );
    writeFileSync(overlay, cpus.join(""));
    this.#driver = new DriverProcess({
      dir: this.dir,
      argv: this.#programs.driver,
      kubeconfig: this.api.kubeconfig(join(this.dir, "kubeconfig")),
      kubeletRootDir: this.kubelet.rootDir,
      agentSocket: join(this.dir, "ctl", "control.sock"),
      flags: { "--sysfs-overlay": overlay, "--cdi-dir": join(this.memory, "cdi") },
      byFile: true,
      ...(this.#env === undefined ? {} : { env: this.#env.driver }),
    });
  }

  async end(): Promise<void> {
    await this.#driver?.daemon?.stop();
    await this.agent.daemon?.stop();
    this.kubelet.close();
    await this.runtime.close();
    await this.api.close();
    for (const dir of [this.dir, this.memory]) rmSync(dir, { recursive: true, force: true });
  }
}
