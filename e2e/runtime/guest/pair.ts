import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { AllocationConfig, AllocationResult } from "@dracpu/driver/claims/resourceclaim.ts";
import type { Device } from "@dracpu/driver/slices/device.ts";
import { DriverProcess, NODE } from "../../kit/driver.ts";
import { FakeApiServer } from "../../kit/fakecluster/apiserver.ts";
import { FakeKubelet, type ClaimReference } from "../../kit/fakecluster/kubelet.ts";
import type { ContainerHandle, PodHandle } from "../../kit/containerd/pods.ts";
import { until, type Daemon } from "../../kit/node/processes.ts";
import { Lab } from "./lab.ts";
import { NriTap } from "./tap.ts";

const DIR = "/tmp/lab";
const TAP = `${DIR}/nri-tap.sock`;
/** Says on USR1 what a program inside the container reads at that moment. */
const ASKED = [
  "/bin/sh",
  "-c",
  "say() { grep ^Cpus_allowed_list /proc/self/status; }; trap say USR1; trap 'exit 0' TERM; say; sleep 10000 & while :; do wait $!; done",
];

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
  readonly #api: FakeApiServer;
  readonly #kubelet = new FakeKubelet(`${DIR}/kubelet`);
  readonly #driver: DriverProcess;
  #serving: Daemon | undefined;

  private constructor(lab: Lab, tap: NriTap, api: FakeApiServer, driver: DriverProcess) {
    this.lab = lab;
    this.tap = tap;
    this.#api = api;
    this.#driver = driver;
  }

  /** Not ready yet: that is what the driver's {@link takesOver} is for, and the agent's session. */
  static async start(flags: Readonly<Record<string, string>>): Promise<Pair> {
    mkdirSync(DIR, { recursive: true });
    const api = new FakeApiServer();
    await api.listen();
    const driver = new DriverProcess({
      dir: DIR,
      argv: [process.execPath, "/job/dracpu.cjs"],
      kubeconfig: api.kubeconfig(`${DIR}/kubeconfig`),
      kubeletRootDir: `${DIR}/kubelet`,
      agentSocket: `${DIR}/ctl/control.sock`,
      flags: { "--cdi-dir": "/var/run/cdi" },
    });
    // It loads while containerd comes up.
    driver.start(flags);
    const tap = new NriTap("/var/run/nri/nri.sock");
    await tap.listen(TAP);
    const lab = await Lab.begin("auto", "0-15", TAP);
    lab.logs.push(() => driver.log());
    return new Pair(lab, tap, api, driver);
  }

  /** The driver's next life, with other flags. It loads, which takes long here, and waits until the one before has ended. */
  next(flags: Readonly<Record<string, string>>): void {
    this.#driver.start(flags);
  }

  /** The driver's life that {@link next} began takes over. */
  async takesOver(published: (devices: readonly Device[]) => boolean): Promise<void> {
    const began = Date.now();
    await this.#serving?.stop();
    this.#serving = this.#driver.daemon;
    await this.#kubelet.register("", 60_000);
    await until("its devices are published", () => published(this.devices()), 60_000);
    console.log(`      the driver's devices are published after ${Date.now() - began} ms`);
  }

  /** Both end as if by the kernel. {@link next} and the agent's start begin their next lives. */
  async kill(): Promise<void> {
    for (const daemon of [this.#serving, this.lab.agent.daemon]) {
      daemon?.signal("SIGKILL");
      await daemon?.exited;
    }
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

  /** A container of a claim. */
  run(claim: ClaimHandle, name: string): Promise<ContainerHandle> {
    return this.lab.pods.run(claim.pod, name, { cdi: claim.cdi });
  }

  /** A container that can be asked by {@link inside}. */
  runAsked(pod: PodHandle, name: string, cdi: readonly string[] = []): Promise<ContainerHandle> {
    return this.lab.pods.run(pod, name, { cdi, command: ASKED });
  }

  /** `Cpus_allowed_list` as a program inside the container reads it now. */
  async inside(container: ContainerHandle): Promise<string> {
    const log = join(container.pod.logs, `${container.name}.log`);
    const said = (): string[] =>
      [...readFileSync(log, "utf8").matchAll(/Cpus_allowed_list:\s*(\S+)/g)].map(([, cpus]) => cpus ?? "");
    await until("it has said its first word", () => said().length > 0);
    const before = said().length;
    process.kill(container.pid, "SIGUSR1");
    await until("it answers", () => said().length > before, 20_000, 10);
    return said().at(-1) ?? "";
  }

  /** The container goes, and the kubelet has its claim unprepared. */
  async release(claim: ClaimHandle, container: ContainerHandle): Promise<void> {
    await this.lab.pods.remove(container);
    const error = await this.#kubelet.unprepare(claim.ref);
    if (error !== "") throw new Error(error);
    this.#api.claims.delete(`default/${claim.name}`);
  }

  end(): never {
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
