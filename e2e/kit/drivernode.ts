import { existsSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveControl } from "@dracpu/nri-agent/control/serve.ts";
import { serveInspect } from "@dracpu/nri-agent/inspect/serve.ts";
import { allocatedClaim, DriverProcess } from "./driver.ts";
import { TestAgent } from "./enforcer.ts";
import { FakeApiServer } from "./fakecluster/apiserver.ts";
import { FakeKubelet, type ClaimReference } from "./fakecluster/kubelet.ts";
import { until } from "./node/processes.ts";

const MAIN = join(import.meta.dirname, "..", "..", "driver", "src", "main.ts");

/**
 * The driver as a process, between the bytes of API server and kubelet, the agent's real contract socket, and a machine from a text overlay: eight CPUs, of
 * which CPU 0 stays shared.
 */
export class DriverNode {
  readonly dir = mkdtempSync(join(tmpdir(), "dn-"));
  readonly api = new FakeApiServer();
  readonly kubelet = new FakeKubelet(join(this.dir, "kubelet"));
  readonly agent = new TestAgent();
  readonly readyz: string;
  readonly #inspectSocket = join(this.dir, "inspect.sock");
  readonly #overlay = join(this.dir, "machine.json");
  readonly #stop = new AbortController();
  readonly #bindAddress: string;
  #closeAgent: (() => Promise<void>)[] = [];
  #driver: DriverProcess | undefined;

  constructor(port: number) {
    this.#bindAddress = `127.0.0.1:${port}`;
    this.readyz = `http://${this.#bindAddress}/readyz`;
  }

  get driver(): DriverProcess {
    if (this.#driver === undefined) throw new Error("the API server does not listen yet");
    return this.#driver;
  }

  async listen(): Promise<void> {
    await this.api.listen();
    this.online("0-7");
    this.#driver = new DriverProcess({
      dir: this.dir,
      argv: [process.execPath, MAIN],
      kubeconfig: this.api.kubeconfig(join(this.dir, "kubeconfig")),
      kubeletRootDir: this.kubelet.rootDir,
      agentSocket: join(this.dir, "ctl", "control.sock"),
      bindAddress: this.#bindAddress,
      flags: { "--sysfs-overlay": this.#overlay, "--inspect-socket": this.#inspectSocket },
    });
  }

  async serveAgent(): Promise<void> {
    await this.agent.connect();
    const { enforcer } = this.agent;
    this.#closeAgent = [
      await serveControl(join(this.dir, "ctl", "control.sock"), enforcer, this.#stop.signal),
      await serveInspect(this.#inspectSocket, enforcer, "0", this.#stop.signal),
    ];
  }

  async agentGone(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#closeAgent.splice(0).map((close) => close()));
  }

  /** Starts the driver, and waits until the kubelet has taken it in. */
  async up(): Promise<void> {
    const registration = join(this.kubelet.rootDir, "plugins_registry/dra.cpu-reg.sock");
    if (existsSync(registration)) unlinkSync(registration);
    this.driver.start();
    await this.kubelet.register();
  }

  /** CPUs of the machine that are online from now on. */
  online(cpus: string): void {
    this.overlay(
      JSON.stringify({
        "/sys/devices/system/cpu/online": cpus,
        "/sys/devices/system/cpu/present": "0-7",
        "/sys/devices/system/node/node0/cpulist": cpus,
      }),
    );
  }

  overlay(text: string): void {
    writeFileSync(this.#overlay, text);
  }

  ready(): Promise<unknown> {
    return until("it is ready", async () => (await fetch(this.readyz)).ok, 20_000, 20);
  }

  claimed(name: string, cpus: number): ClaimReference {
    const { claim, ref } = allocatedClaim(name, cpus);
    this.api.claims.set(`default/${name}`, claim);
    return ref;
  }

  async kill(): Promise<void> {
    this.driver.daemon?.signal("SIGKILL");
    await this.driver.daemon?.exited;
  }

  async end(): Promise<void> {
    await this.kill();
    this.kubelet.close();
    this.#stop.abort();
    this.agent.enforcer.stop();
    await Promise.all(this.#closeAgent.map((close) => close()));
    await this.api.close();
    rmSync(this.dir, { recursive: true, force: true });
  }
}
