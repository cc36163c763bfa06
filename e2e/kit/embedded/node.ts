import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Container, PodSandbox } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { AgentProcess } from "../agent/agent.ts";
import { CgroupTree } from "../cgrouptree.ts";
import { DriverProcess, NODE } from "../driver.ts";
import { FakeApiServer } from "../fakecluster/apiserver.ts";
import { FakeKubelet, type ClaimReference } from "../fakecluster/kubelet.ts";
import { FakeRuntime } from "../fakeruntime/runtime.ts";
import { until } from "../node/processes.ts";
import { PlayedContainers } from "./containers.ts";
import { PlayedScheduler, type ClaimWish } from "./scheduler.ts";

export interface PodPlan {
  readonly name: string;
  readonly namespace: string;
  readonly containers: readonly string[];
  /** A claim that all its containers name; without one it is an ordinary pod. */
  readonly claim?: ClaimWish;
}

export interface RunningPod {
  readonly plan: PodPlan;
  readonly sandbox: PodSandbox;
  readonly claim: (ClaimReference & { readonly cdiIds: readonly string[] }) | undefined;
  readonly containers: Container[];
}

export interface EmbeddedOptions {
  /** A whole machine as a sysfs overlay. */
  readonly machine: string;
  readonly online: CpuSet;
  readonly reserved?: string;
  /** Programs with their first arguments. */
  readonly driver: readonly string[];
  readonly agent: readonly string[];
  /** Of the driver's page; a free one by default. */
  readonly pagePort?: number;
  /** Of the agent's metrics; none by default. */
  readonly agentAddress?: string;
  /** Further flags of the driver. */
  readonly flags?: Readonly<Record<string, string>>;
}

/**
 * A node in a directory, for anybody, without root: driver and agent are the real processes; API server, scheduler, kubelet and container runtime are played by
 * this one over real sockets; cgroups are files.
 */
export class EmbeddedNode {
  readonly dir = mkdtempSync(join(tmpdir(), "dracpu-"));
  readonly api = new FakeApiServer();
  readonly kubelet = new FakeKubelet(join(this.dir, "kubelet"));
  readonly runtime = new FakeRuntime(join(this.dir, "nri.sock"));
  readonly cgroups: CgroupTree;
  readonly agent: AgentProcess;
  readonly containers: PlayedContainers;
  readonly inspectSocket = join(this.dir, "ins", "inspect.sock");
  /** The driver's settings as a file, for `dracpu --config`. */
  readonly config = join(this.dir, "dracpu.yaml");
  pageUrl = "";
  readonly pods = new Map<string, RunningPod>();
  readonly #o: EmbeddedOptions;
  readonly #stop = new AbortController();
  readonly #scheduler = new PlayedScheduler(this.api);
  #driver: DriverProcess | undefined;

  constructor(options: EmbeddedOptions) {
    this.#o = options;
    const online = options.online.toString();
    this.cgroups = new CgroupTree(join(this.dir, "cg"), online);
    const cdiDir = join(this.dir, "cdi");
    this.containers = new PlayedContainers({ runtime: this.runtime, cgroups: this.cgroups, cdiDir, online });
    this.agent = new AgentProcess({
      dir: this.dir,
      argv: options.agent,
      nriSocket: this.runtime.path,
      cdiDir,
      lever: "runtime",
      online: options.online,
      cgroupRoot: this.cgroups.root,
      ...(options.agentAddress === undefined ? {} : { bindAddress: options.agentAddress }),
    });
  }

  get online(): CpuSet {
    return this.#o.online;
  }

  get driver(): DriverProcess {
    if (this.#driver === undefined) throw new Error("the node has not been started");
    return this.#driver;
  }

  async start(): Promise<void> {
    await this.runtime.listen();
    await this.api.listen();
    void this.containers.serve(this.#stop.signal);
    const overlay = join(this.dir, "machine.yaml");
    writeFileSync(overlay, this.#o.machine);
    // Nothing of this machine shines through the overlay.
    const settings = {
      sysfsRoot: join(this.dir, "sys"),
      sysfsOverlay: overlay,
      inspectSocket: this.inspectSocket,
      agentSocket: join(this.dir, "ctl", "control.sock"),
      stateDir: join(this.dir, "driver"),
      cdiDir: join(this.dir, "cdi"),
      kubeletRootDir: this.kubelet.rootDir,
      kubeconfig: this.api.kubeconfig(join(this.dir, "kubeconfig")),
      nodeName: NODE,
      reservedCPUs: this.#o.reserved ?? "",
      pageAddress: `127.0.0.1:${this.#o.pagePort ?? (await freePort())}`,
    };
    const pagePort = Number(settings.pageAddress.split(":")[1]);
    this.api.driverPods = [
      {
        metadata: { name: "dracpu-abcde", namespace: "kube-system" },
        spec: { nodeName: NODE },
        status: { phase: "Running" },
      },
    ];
    this.api.portForward.target = (pod, port) => (pod === "dracpu-abcde" && port === 8082 ? pagePort : undefined);
    this.pageUrl = `http://${settings.pageAddress}/`;
    writeFileSync(this.config, `${JSON.stringify(settings, undefined, 2)}\n`);
    this.#driver = new DriverProcess({
      dir: this.dir,
      argv: this.#o.driver,
      kubeconfig: settings.kubeconfig,
      kubeletRootDir: settings.kubeletRootDir,
      agentSocket: settings.agentSocket,
      flags: { "--config": this.config, "--page-address": settings.pageAddress, ...this.#o.flags },
    });
    await Promise.all([this.startAgent(), this.startDriver()]);
    await until("devices are published", () => this.api.slices.size > 0);
  }

  async startDriver(): Promise<void> {
    const registry = join(this.kubelet.rootDir, "plugins_registry");
    // The kubelet looks at sockets that come, not at those a dead driver left.
    for (const name of readdirSync(registry)) rmSync(join(registry, name));
    this.driver.start();
    await this.kubelet.register();
  }

  async startAgent(): Promise<void> {
    this.agent.start();
    await until("the agent knows all containers", () => this.containers.isSynchronized);
    await this.agent.synchronized();
  }

  /** SIGKILL: nothing is said or written any more. */
  async kill(which: "driver" | "agent"): Promise<void> {
    const { daemon } = which === "driver" ? this.driver : this.agent;
    daemon?.signal("SIGKILL");
    await daemon?.exited;
    if (which === "agent") await until("the runtime sees it", () => !this.containers.isSynchronized, 5000, 5);
  }

  /** What scheduler, kubelet and runtime do with a new pod. @throws Error with the sentence that its Event would have. */
  async submit(plan: PodPlan): Promise<RunningPod> {
    const sandbox = this.containers.pod(plan.namespace, plan.name);
    const claim = plan.claim === undefined ? undefined : await this.#prepare(plan, plan.claim, sandbox.uid);
    const pod: RunningPod = { plan, sandbox, claim, containers: [] };
    this.pods.set(plan.name, pod);
    this.api.pods.set(plan.name, {
      metadata: { name: plan.name, namespace: plan.namespace, uid: sandbox.uid },
      spec: { nodeName: NODE, containers: plan.containers.map((name) => ({ name })) },
    });
    await this.retry(pod);
    return pod;
  }

  /** Starts what of the pod does not run yet, as the kubelet does again and again. */
  async retry(pod: RunningPod): Promise<void> {
    for (const name of pod.plan.containers.slice(pod.containers.length))
      pod.containers.push(await this.containers.run(pod.sandbox, name, pod.claim?.cdiIds));
  }

  /** They died; the kubelet starts them again with `retry`. */
  async stopContainers(pod: RunningPod): Promise<void> {
    await this.containers.stop(pod.sandbox);
    pod.containers.length = 0;
  }

  async remove(pod: RunningPod): Promise<void> {
    await this.containers.stop(pod.sandbox);
    this.containers.forget(pod.sandbox);
    this.pods.delete(pod.plan.name);
    this.api.pods.delete(pod.plan.name);
    if (pod.claim === undefined) return;
    const why = await this.kubelet.unprepare(pod.claim);
    if (why !== "") throw new Error(why);
    const key = `${pod.claim.namespace}/${pod.claim.name}`;
    this.#scheduler.release(this.api.claims.get(key), pod.plan.claim?.cpus ?? 0);
    this.api.claims.delete(key);
  }

  /** CPUs that every container of the pod really has, by name. */
  cpusOf(pod: RunningPod): Record<string, string> {
    return Object.fromEntries(pod.containers.map((one) => [one.name, this.containers.cpusOf(one) ?? "none"]));
  }

  /** Asks a program about this node. @returns what it printed. */
  async ask(program: readonly string[], argv: readonly string[]): Promise<string> {
    const [file = "", ...first] = program;
    const env = { ...process.env, ...(process.stdout.isTTY ? { FORCE_COLOR: "1" } : {}) };
    const all = [...first, ...argv, "--config", this.config];
    return await new Promise((resolve, reject) => {
      execFile(file, all, { env }, (cause, stdout, stderr) => {
        // What is wrong on the node is part of the answer.
        if (cause !== null && cause.code !== 3 && cause.code !== 4)
          reject(new Error(stderr === "" ? cause.message : stderr, { cause }));
        else resolve(stdout.trimEnd());
      });
    });
  }

  /** @param clean whether its directory goes too. */
  async end(clean = true): Promise<void> {
    this.#stop.abort();
    await this.#driver?.daemon?.stop();
    await this.agent.daemon?.stop();
    this.kubelet.close();
    await this.runtime.close();
    await this.api.close();
    if (clean) rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  async #prepare(plan: PodPlan, wish: ClaimWish, podUid: string): Promise<NonNullable<RunningPod["claim"]>> {
    const ref = { namespace: plan.namespace, name: `${plan.name}-cpus`, uid: randomUUID() };
    this.api.claims.set(`${ref.namespace}/${ref.name}`, this.#scheduler.schedule(plan, wish, ref, podUid));
    const answer = await this.kubelet.prepare(ref);
    if (answer.error !== "") throw new Error(answer.error);
    return { ...ref, cdiIds: answer.devices.flatMap((device) => device.cdiDeviceIds) };
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
