import { spawn, type ChildProcess } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { binary } from "../../build/build.ts";
import { RealNode } from "../../kit/node/node.ts";
import { Pair } from "../../kit/node/pair.ts";
import { until, type Daemon } from "../../kit/node/processes.ts";
import { NodePods } from "../../node/nodepods.ts";
import { claimTemplate, DEVICE_CLASS } from "../../node/objects.ts";
import type { Facts } from "../judge.ts";
import { Lives, PROGRAMS, type Program } from "../lives.ts";
import { Observer } from "../observer.ts";
import type { Bundles } from "../programs.ts";
import { shipped } from "../../../images/environment.ts";

/** Where a real kubelet puts its pods. */
const PODS = "/sys/fs/cgroup/cpuset/kubepods";

/** Both programs as processes of a real node's host. What the API server says of pods is written down while it happens, and judged afterwards. */
export class NodeWorld extends NodePods {
  readonly pair: Pair;
  readonly lives: Lives;
  readonly observer: Observer;
  #watch: ChildProcess | undefined;
  #told = "";

  constructor(programs: Bundles) {
    // The kubelet comes back to a Prepare that failed after once to one and a half times that.
    super(new RealNode({ syncFrequency: "2s" }));
    const { dir } = this.node;
    this.lives = new Lives(dir, (which) => this.#start(which));
    this.pair = new Pair(this.node, {
      argv: { driver: shipped(programs.driver), agent: shipped(programs.agent) },
      env: { driver: this.lives.seams.driver.env(), agent: this.lives.seams.agent.env("inspect.sock") },
    });
    this.observer = new Observer(PODS, join(dir, "seen.jsonl"));
  }

  async start(): Promise<void> {
    const ms = await this.node.start();
    console.log(`    node Ready in ${(ms / 1000).toFixed(1)} s`);
    for (const which of PROGRAMS) this.lives.start(which);
    await this.pair.ready();
    await this.node.apply(DEVICE_CLASS, claimTemplate("one", "1"));
    this.#watchPods();
    await this.observer.started();
  }

  get facts(): Facts {
    const claims = new Map<string, { uid: string; cpus: number }>();
    // Each pod has a claim of its own, of one CPU.
    for (const line of this.#told.split("\n")) {
      const [uid = "", claim = ""] = line.split(" ");
      if (claim !== "") claims.set(uid, { uid, cpus: 1 });
    }
    return { claims, away: this.lives.away(readFileSync(this.node.daemon("containerd").log, "utf8")) };
  }

  /** Containerd is killed, and comes back. */
  async runtimeDown(ms: number): Promise<void> {
    this.lives.lost();
    const daemon = this.node.daemon("containerd");
    daemon.signal("SIGKILL");
    await daemon.exited;
    await sleep(ms);
    this.node.startContainerd();
    await this.node.containerdReady();
  }

  async kubeletDown(ms: number): Promise<void> {
    const daemon = this.node.daemon("kubelet");
    daemon.signal("SIGKILL");
    await daemon.exited;
    await sleep(ms);
    this.node.startKubelet();
  }

  async still(name: string, ms: number): Promise<void> {
    this.node.daemon(name).signal("SIGSTOP");
    await sleep(ms);
    this.node.daemon(name).signal("SIGCONT");
  }

  /** Nothing is left of pods, and nothing is held. */
  async isQuiet(ms = 60_000): Promise<void> {
    await until(
      "there are no pods",
      async () => (await this.node.kubectl("get", "pods", "-o", "name")) === "",
      ms,
      200,
    );
    await until(
      "no CPU is held",
      async () => ((await this.pair.state<{ pool?: { held?: string } }>()).pool?.held ?? "") === "",
      ms,
      200,
    );
    await until("no CDI file is left", () => readdirSync(this.node.cdiDir).length === 0, ms, 200);
  }

  /** Logs and what was seen, for who looks into a failure. @returns where. */
  keep(): string {
    const dir = mkdtempSync(join(tmpdir(), "faults-"));
    copyFileSync(join(this.node.dir, "seen.jsonl"), join(dir, "seen.jsonl"));
    const logs = join(this.node.dir, "log");
    for (const name of readdirSync(logs)) copyFileSync(join(logs, name), join(dir, name));
    return dir;
  }

  async stop(): Promise<void> {
    this.#watch?.kill();
    await this.lives.end();
    await this.observer.stop().catch(() => {
      // It was stopped before.
    });
    await this.node.stop();
  }

  #start(which: Program): Daemon {
    if (which === "driver") this.pair.startDriver();
    else this.pair.startAgent();
    const daemon = this.pair[which];
    if (daemon === undefined) throw new Error(`the ${which} did not start`);
    return daemon;
  }

  #watchPods(): void {
    const columns = 'jsonpath={.metadata.uid}{" "}{.spec.resourceClaims[*].name}{"\\n"}';
    const kubectl = [binary("kube", "kubectl"), "--kubeconfig", this.node.kubeconfig];
    this.#watch = spawn("nsenter", [...this.node.enter(), ...kubectl, "get", "pods", "-A", "-w", "-o", columns], {
      stdio: ["ignore", "pipe", "inherit"],
      env: this.node.environment(),
    });
    this.#watch.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#told += text;
    });
  }
}
