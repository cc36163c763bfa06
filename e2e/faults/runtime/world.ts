import { randomUUID } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient, type Client } from "@connectrpc/connect";
import { unixTransport } from "@dracpu/shared-proto/client/call.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { Inspect } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import type { State } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { AgentProcess } from "../../kit/agent/agent.ts";
import type { Pods } from "../../kit/containerd/pods.ts";
import { allocatedClaim, DriverProcess } from "../../kit/driver.ts";
import { FakeApiServer } from "../../kit/fakecluster/apiserver.ts";
import { FakeKubelet, type ClaimReference } from "../../kit/fakecluster/kubelet.ts";
import { until, type Daemon } from "../../kit/node/processes.ts";
import type { Facts } from "../judge.ts";
import { Lives, PROGRAMS, type Program } from "../lives.ts";
import { Observer } from "../observer.ts";
import type { Bundles } from "../programs.ts";
import { shipped } from "../../../images/environment.ts";

/** The containerd that a {@link FaultWorld} is around. */
export interface RuntimeHere {
  readonly dir: string;
  readonly nriSocket: string;
  readonly cdiDir: string;
  /** Top-level cgroup of its pods in the cpuset hierarchy. */
  readonly cpusets: string;
  readonly pods: Pods;
  readonly daemon: Daemon;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export interface WorldOptions {
  readonly runtime: RuntimeHere;
  /** What the driver has for claims. */
  readonly claimable?: string;
  /** How long the programs may take to agree. */
  readonly patienceMs?: number;
  /** The observer's process, where it lies elsewhere; then it looks at strangers too. */
  readonly looking?: string;
}

/**
 * Both programs on a real containerd of this machine and its real cgroups; API server and kubelet speak the real bytes. A program that dies is
 * started again at once.
 */
export class FaultWorld {
  readonly runtime: RuntimeHere;
  readonly claimable: CpuSet;
  readonly api = new FakeApiServer();
  readonly kubelet: FakeKubelet;
  readonly agent: AgentProcess;
  readonly driver: DriverProcess;
  readonly lives: Lives;
  readonly observer: Observer;
  readonly #inspect: Client<typeof Inspect>;
  readonly #claims = new Map<string, { uid: string; cpus: number }>();
  readonly #patienceMs: number;
  #registers: Promise<unknown> = Promise.resolve();
  /** Of the driver that was seen last with the agent, and the least that the living one has to take. */
  #epoch = 0n;
  #leastEpoch = 1n;

  constructor(programs: Bundles, { runtime, claimable = "1", patienceMs = 30_000, looking }: WorldOptions) {
    this.runtime = runtime;
    this.claimable = CpuSet.parse(claimable);
    this.#patienceMs = patienceMs;
    const { dir } = runtime;
    mkdirSync(dir, { recursive: true });
    this.kubelet = new FakeKubelet(join(dir, "kubelet"));
    this.lives = new Lives(dir, (which) => this.#start(which));
    this.agent = new AgentProcess({
      dir,
      argv: shipped(programs.agent),
      nriSocket: this.runtime.nriSocket,
      cdiDir: this.runtime.cdiDir,
      lever: "auto",
      online: CpuSet.parse("0-1"),
      // The test itself asks there.
      env: this.lives.seams.agent.env("inspect.sock"),
    });
    this.driver = new DriverProcess({
      dir,
      argv: shipped(programs.driver),
      kubeconfig: join(dir, "kubeconfig"),
      kubeletRootDir: this.kubelet.rootDir,
      agentSocket: join(dir, "ctl", "control.sock"),
      flags: { "--cdi-dir": runtime.cdiDir },
      env: this.lives.seams.driver.env(),
    });
    this.#inspect = createClient(Inspect, unixTransport(join(dir, "ins", "inspect.sock")));
    this.observer = new Observer(
      runtime.cpusets,
      join(dir, "seen.jsonl"),
      looking === undefined ? {} : { strangers: true, program: looking },
    );
  }

  async start(): Promise<void> {
    await Promise.all([this.runtime.start(), this.api.listen(), this.observer.started()]);
    this.api.kubeconfig(join(this.runtime.dir, "kubeconfig"));
    for (const which of PROGRAMS) this.lives.start(which);
    await this.agrees();
  }

  /** Containerd is killed, and comes back. */
  async runtimeDown(ms: number): Promise<void> {
    this.lives.lost();
    this.runtime.daemon.signal("SIGKILL");
    await this.runtime.daemon.exited;
    await sleep(ms);
    await this.runtime.start();
  }

  async runtimeStill(ms: number): Promise<void> {
    this.runtime.daemon.signal("SIGSTOP");
    await sleep(ms);
    this.runtime.daemon.signal("SIGCONT");
  }

  /** Both run, and hold the same of each other and of the runtime. */
  async agrees(): Promise<void> {
    await until(
      "driver, agent and runtime agree",
      async () => {
        await this.#registers;
        const state = await this.state();
        const epoch = state.held?.epoch ?? 0n;
        if (state.nri?.state !== 4 || state.truth !== 3 || epoch < this.#leastEpoch) return false;
        this.#epoch = epoch;
        return this.lives.daemon("driver").isAlive();
      },
      this.#patienceMs,
      20,
    );
  }

  /** No claim is left, on disk or in the agent. */
  async holdsNothing(): Promise<void> {
    await until(
      "nothing is held",
      async () => {
        const { claims, files } = this.disk();
        const held = (await this.state()).pool?.held;
        if (claims === 0 && files.length === 0 && held === "") return true;
        throw new Error(`${claims} claims in the checkpoint, CDI files ${files.join(", ")}, CPUs ${held ?? ""} held`);
      },
      this.#patienceMs,
      50,
    );
  }

  async state(): Promise<State> {
    const { state } = await this.#inspect.getState({}, { timeoutMs: 5000 });
    if (state === undefined) throw new Error("no state");
    return state;
  }

  get facts(): Facts {
    const log = readFileSync(join(this.runtime.dir, "log", "containerd.log"), "utf8");
    return { claims: this.#claims, away: this.lives.away(log) };
  }

  /** An allocated claim, reserved for a pod, as the scheduler leaves it. */
  claim(podUid: string, cpus = 1): ClaimReference {
    const uid = randomUUID();
    const { claim } = allocatedClaim(`claim-${uid.slice(0, 8)}`, cpus);
    const ref = { ...claim.metadata, uid };
    const reservedFor = [{ resource: "pods", name: "pod", uid: podUid }];
    this.api.claims.set(`default/${ref.name}`, { metadata: ref, status: { ...claim.status, reservedFor } });
    this.#claims.set(podUid, { uid, cpus });
    return { namespace: "default", name: ref.name, uid };
  }

  /** As the kubelet: again and again until it succeeds. @returns the claim's CDI ids. */
  async prepare(claim: ClaimReference, ms = 60_000): Promise<string[]> {
    return until(
      `claim ${claim.name} is prepared`,
      async () => {
        await this.#registers;
        const { error, devices } = await this.kubelet.prepare(claim);
        if (error !== "") throw new Error(error);
        return devices.flatMap((one) => one.cdiDeviceIds);
      },
      ms,
      20,
    );
  }

  async unprepare(claim: ClaimReference, ms = 60_000): Promise<void> {
    await until(
      `claim ${claim.name} is unprepared`,
      async () => {
        await this.#registers;
        const error = await this.kubelet.unprepare(claim);
        if (error !== "") throw new Error(error);
        return true;
      },
      ms,
      20,
    );
    this.api.claims.delete(`default/${claim.name}`);
  }

  /** What the driver has on disk of its claims. */
  disk(): { readonly claims: number; readonly files: readonly string[] } {
    const text = readFileSync(join(this.driver.stateDir, "checkpoint.json"), "utf8");
    const { claims } = JSON.parse(text.slice(text.indexOf("\n") + 1)) as { claims: unknown[] };
    const { cdiDir } = this.runtime;
    return { claims: claims.length, files: existsSync(cdiDir) ? readdirSync(cdiDir) : [] };
  }

  /** Logs and what was seen, for who looks into a failure. @returns where. */
  keep(): string {
    const dir = mkdtempSync(join(tmpdir(), "faults-"));
    for (const name of readdirSync(this.runtime.dir))
      if (/\.(log|jsonl)$/.test(name)) copyFileSync(join(this.runtime.dir, name), join(dir, name));
    copyFileSync(join(this.runtime.dir, "log", "containerd.log"), join(dir, "containerd.log"));
    return dir;
  }

  async stop(): Promise<void> {
    await this.lives.end();
    this.kubelet.close();
    await this.observer.stop().catch(() => {
      // It was stopped before.
    });
    await this.runtime.stop();
    await this.api.close();
  }

  #start(which: Program): Daemon {
    if (which === "agent") this.agent.start();
    else this.driver.start();
    const { daemon } = this[which];
    if (daemon === undefined) throw new Error(`the ${which} did not start`);
    if (which === "driver") {
      this.#leastEpoch = this.#epoch + 1n;
      this.#registers = this.#registered(daemon);
    }
    return daemon;
  }

  /** The registration socket of the driver before may still be there: it is tried until somebody listens. */
  async #registered(daemon: Daemon): Promise<void> {
    const socket = join(this.kubelet.rootDir, "plugins_registry", "dra.cpu-reg.sock");
    await until(
      "the driver is registered",
      async () => {
        if (daemon.isAlive() && (await isServed(socket))) await this.kubelet.register("", 1000);
        else if (daemon.isAlive()) return false;
        return true;
      },
      this.#patienceMs,
      20,
    );
  }
}

function isServed(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = connect({ path: socket });
    const end = (is: boolean): void => {
      connection.destroy();
      resolve(is);
    };
    connection.once("connect", () => end(true));
    connection.once("error", () => end(false));
  });
}
