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
import { Containerd } from "../../kit/containerd/containerd.ts";
import { allocatedClaim, DriverProcess } from "../../kit/driver.ts";
import { FakeApiServer } from "../../kit/fakecluster/apiserver.ts";
import { FakeKubelet, type ClaimReference } from "../../kit/fakecluster/kubelet.ts";
import { until, type Daemon } from "../../kit/node/processes.ts";
import { Seam } from "../../kit/seam/seam.ts";
import type { Facts, Span } from "../judge.ts";
import { now, Observer } from "../observer.ts";
import type { Bundles } from "../programs.ts";
import { awayBy } from "../sessions.ts";

export type Program = "driver" | "agent";

/**
 * Both programs on a real containerd of this machine and its real cgroups; API server and kubelet speak the real bytes. A program that dies is
 * started again at once.
 */
export class FaultWorld {
  readonly runtime = new Containerd("2.4");
  readonly api = new FakeApiServer();
  readonly kubelet: FakeKubelet;
  readonly agent: AgentProcess;
  readonly driver: DriverProcess;
  readonly seams: Readonly<Record<Program, Seam>>;
  readonly observer: Observer;
  readonly deaths: Record<Program, number> = { driver: 0, agent: 0 };
  readonly #inspect: Client<typeof Inspect>;
  readonly #claims = new Map<string, { uid: string; cpus: number }>();
  readonly #lost: number[] = [];
  readonly #still: Span[] = [];
  #registers: Promise<unknown> = Promise.resolve();
  /** Of the driver that was seen last with the agent, and the least that the living one has to take. */
  #epoch = 0n;
  #leastEpoch = 1n;
  readonly #between: { [which in Program]?: (() => unknown) | undefined } = {};
  readonly #next: Record<Program, Promise<void>> = { driver: Promise.resolve(), agent: Promise.resolve() };
  #keeps = true;

  constructor(programs: Bundles) {
    const { dir } = this.runtime;
    mkdirSync(dir, { recursive: true });
    this.kubelet = new FakeKubelet(join(dir, "kubelet"));
    this.seams = { driver: new Seam(join(dir, "driver.seam")), agent: new Seam(join(dir, "agent.seam")) };
    this.agent = new AgentProcess({
      dir,
      argv: [process.execPath, programs.agent],
      nriSocket: this.runtime.nriSocket,
      cdiDir: this.runtime.cdiDir,
      lever: "auto",
      online: CpuSet.parse("0-1"),
      // The test itself asks there.
      env: this.seams.agent.env("inspect.sock"),
    });
    this.driver = new DriverProcess({
      dir,
      argv: [process.execPath, programs.driver],
      kubeconfig: join(dir, "kubeconfig"),
      kubeletRootDir: this.kubelet.rootDir,
      agentSocket: join(dir, "ctl", "control.sock"),
      env: this.seams.driver.env(),
    });
    this.#inspect = createClient(Inspect, unixTransport(join(dir, "ins", "inspect.sock")));
    this.observer = new Observer(`/sys/fs/cgroup/cpuset${this.runtime.root}`, join(dir, "seen.jsonl"));
  }

  async start(): Promise<void> {
    await Promise.all([this.runtime.start(), this.api.listen(), this.observer.started()]);
    this.api.kubeconfig(join(this.runtime.dir, "kubeconfig"));
    this.startProgram("agent");
    this.startProgram("driver");
    await this.agrees();
  }

  startProgram(which: Program): void {
    if (which === "driver") this.driver.start();
    else this.agent.start();
    const daemon = this.daemon(which);
    if (which === "driver") this.#registers = this.#registered(daemon);
    this.#next[which] = daemon.exited.then(async () => {
      this.deaths[which] += 1;
      if (which === "agent") this.#lost.push(now());
      else this.#leastEpoch = this.#epoch + 1n;
      this.seams[which].disarm();
      const between = this.#between[which];
      this.#between[which] = undefined;
      await between?.();
      if (this.#keeps) this.startProgram(which);
    });
  }

  daemon(which: Program): Daemon {
    const daemon = this[which].daemon;
    if (daemon === undefined) throw new Error(`the ${which} was not started`);
    return daemon;
  }

  /** Resolves when its next life begins. @param between what comes before that. */
  async kill(which: Program, between?: () => unknown, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#between[which] = between;
    const next = this.#next[which];
    this.daemon(which).signal(signal);
    await next;
  }

  /** Stands still for a while. */
  async still(which: Program, ms: number): Promise<void> {
    const daemon = this.daemon(which);
    const from = now();
    daemon.signal("SIGSTOP");
    await sleep(ms);
    daemon.signal("SIGCONT");
    if (which === "agent") this.#still.push({ from, to: now() });
  }

  /** Containerd is killed, and comes back. */
  async runtimeDown(ms: number): Promise<void> {
    this.#lost.push(now());
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
        return this.daemon("driver").isAlive();
      },
      30_000,
      20,
    );
  }

  async state(): Promise<State> {
    const { state } = await this.#inspect.getState({}, { timeoutMs: 5000 });
    if (state === undefined) throw new Error("no state");
    return state;
  }

  log(which: Program): string {
    return readFileSync(this.daemon(which).log, "utf8");
  }

  get facts(): Facts {
    const log = readFileSync(join(this.runtime.dir, "log", "containerd.log"), "utf8");
    return { claims: this.#claims, away: awayBy(log, this.#lost, this.#still) };
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
    this.#keeps = false;
    for (const which of ["driver", "agent"] as const) {
      this.seams[which].disarm();
      await this[which].daemon?.stop();
    }
    this.kubelet.close();
    await this.observer.stop().catch(() => {
      // It was stopped before.
    });
    await this.runtime.stop();
    await this.api.close();
    for (const seam of Object.values(this.seams)) seam.close();
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
      30_000,
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
