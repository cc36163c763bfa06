import { randomUUID } from "node:crypto";
import type { AllocationConfig, AllocationResult } from "@dracpu/driver/claims/resourceclaim.ts";
import type { Device } from "@dracpu/driver/slices/device.ts";
import { DriverProcess, NODE } from "../../kit/driver.ts";
import { FakeApiServer } from "../../kit/fakecluster/apiserver.ts";
import { FakeKubelet, type ClaimReference } from "../../kit/fakecluster/kubelet.ts";
import type { ContainerHandle, PodHandle } from "../../kit/containerd/pods.ts";
import { until } from "../../kit/node/processes.ts";
import { Lab } from "./lab.ts";
import { NriTap } from "./tap.ts";

const DIR = "/tmp/lab";

export interface Wanted {
  readonly device: string;
  /** What the scheduler charges; without, the device as a whole. */
  readonly cpus?: number;
}

export interface ClaimHandle {
  readonly name: string;
  readonly ref: ClaimReference;
  readonly pod: PodHandle;
  readonly cdi: readonly string[];
}

/** Both processes in the guest, as on a node: the test plays API server, scheduler and kubelet on their sockets, containerd does the rest. */
export class Pair {
  readonly lab: Lab;
  readonly tap: NriTap;
  readonly #api = new FakeApiServer();
  readonly #kubelet = new FakeKubelet(`${DIR}/kubelet`);
  readonly #driver: DriverProcess;

  private constructor(lab: Lab, tap: NriTap) {
    this.lab = lab;
    this.tap = tap;
    this.#driver = new DriverProcess({
      dir: DIR,
      argv: [process.execPath, "/job/dracpu.mjs"],
      kubeconfig: `${DIR}/kubeconfig`,
      kubeletRootDir: `${DIR}/kubelet`,
      agentSocket: `${DIR}/ctl/control.sock`,
      flags: { "--cdi-dir": "/var/run/cdi" },
    });
    lab.logs.push(() => this.#driver.log());
  }

  static async start(): Promise<Pair> {
    const tap = new NriTap("/var/run/nri/nri.sock");
    const lab = await Lab.begin("auto", "0-15", `${DIR}/nri-tap.sock`);
    const pair = new Pair(lab, tap);
    await tap.listen(`${DIR}/nri-tap.sock`);
    await pair.#api.listen();
    pair.#api.kubeconfig(`${DIR}/kubeconfig`);
    lab.agent.start();
    return pair;
  }

  /** Another life of the driver, with these flags; over when its devices are published. */
  async driver(
    flags: Readonly<Record<string, string>>,
    published: (devices: readonly Device[]) => boolean,
  ): Promise<void> {
    const began = Date.now();
    await this.#driver.daemon?.stop();
    this.#driver.start(flags);
    await this.#kubelet.register("", 60_000);
    await until("its devices are published", () => published(this.devices()), 60_000);
    console.log(`      driver ${Object.entries(flags).flat().join(" ")}: published after ${Date.now() - began} ms`);
  }

  devices(): Device[] {
    return [...this.#api.slices.values()].flatMap((slice) => slice.spec.devices ?? []);
  }

  /**
   * A claim of one request, allocated as the scheduler would have: by what is published. The kubelet has it prepared.
   * @throws Error with the driver's words.
   */
  async claim(
    name: string,
    pod: PodHandle,
    wanted: readonly Wanted[],
    config: readonly AllocationConfig[] = [],
  ): Promise<ClaimHandle> {
    const ref = { namespace: "default", name, uid: randomUUID() };
    const results = wanted.map((one) => this.#result(one));
    this.#api.claims.set(`default/${name}`, {
      metadata: ref,
      status: {
        allocation: { devices: { results, config } },
        reservedFor: [{ resource: "pods", name: pod.name, uid: pod.uid }],
      },
    });
    const { error, devices } = await this.#kubelet.prepare(ref);
    if (error !== "") throw new Error(error);
    const cdi = [...new Set(devices.flatMap((device) => device.cdiDeviceIds))];
    return { name, ref, pod, cdi };
  }

  run(claim: ClaimHandle, name: string): Promise<ContainerHandle> {
    return this.lab.pods.run(claim.pod, name, { cdi: claim.cdi });
  }

  /** The pod goes, and the kubelet has its claim unprepared. */
  async release(claim: ClaimHandle): Promise<void> {
    await this.lab.pods.removePod(claim.pod);
    const error = await this.#kubelet.unprepare(claim.ref);
    if (error !== "") throw new Error(error);
    this.#api.claims.delete(`default/${claim.name}`);
  }

  /** `Cpus_allowed_list` as a program inside the container reads it now. */
  async inside(container: ContainerHandle): Promise<string> {
    const cmd = ["/bin/grep", "Cpus_allowed_list", "/proc/self/status"];
    const { stdout } = await this.lab.pods.cri.call("execSync", { containerId: container.id, cmd, timeout: 20n });
    return Buffer.from(stdout).toString("utf8").trim().split(/\s+/)[1] ?? "";
  }

  async end(): Promise<never> {
    await this.#driver.daemon?.stop();
    this.#kubelet.close();
    return this.lab.end();
  }

  #result({ device: name, cpus }: Wanted): AllocationResult {
    const device = this.devices().find((one) => one.name === name);
    if (device === undefined) throw new Error(`no device ${name} is published`);
    const shared = device.allowMultipleAllocations === true;
    if (shared !== (cpus !== undefined)) throw new Error(`device ${name} is ${shared ? "" : "not "}shared`);
    return {
      request: "cpus",
      driver: "dra.cpu",
      pool: NODE,
      device: name,
      ...(cpus === undefined ? {} : { consumedCapacity: { "dra.cpu/cpu": String(cpus) }, shareID: randomUUID() }),
    };
  }
}
