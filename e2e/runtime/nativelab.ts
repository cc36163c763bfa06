import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { AgentProcess } from "../kit/agent/agent.ts";
import { Containerd, type ContainerdOptions } from "../kit/containerd/containerd.ts";
import type { ContainerHandle, ContainerOptions, PodHandle } from "../kit/containerd/pods.ts";
import { until } from "../kit/node/processes.ts";

export const FULL = process.env["DRACPU_FULL"] !== undefined;
const MAIN = join(import.meta.dirname, "..", "..", "nri-agent", "src", "main.ts");
/** Progress of a claim that nobody uses any more. */
const DRAINED = 3;

/** A real containerd and an agent beside it, with the CPUs 0 and 1 of this machine. */
export class NativeLab {
  readonly runtime: Containerd;
  readonly agent: AgentProcess;
  /** What the agent said to starts that were tried again, since the test began. */
  readonly refusals: string[] = [];
  readonly #claims = new Set<string>();

  /** @param before the agent's own command line: programs that start what follows them. */
  constructor(
    version: "2.4" | "2.1",
    lever: "file" | "runtime",
    options: ContainerdOptions = {},
    before: readonly string[] = [],
  ) {
    this.runtime = new Containerd(version, options);
    this.agent = new AgentProcess({
      dir: this.runtime.dir,
      argv: [...before, process.execPath, MAIN],
      nriSocket: this.runtime.nriSocket,
      cdiDir: this.runtime.cdiDir,
      lever,
      online: CpuSet.parse("0-1"),
      more: ["--host-proc", "/proc"],
    });
  }

  async start(): Promise<void> {
    await this.runtime.start();
    this.agent.start();
    await this.agent.replace();
    await this.agent.synchronized();
  }

  async stop(): Promise<void> {
    await this.agent.daemon?.stop();
    await this.runtime.stop();
  }

  /** No pod and no claim is left. */
  async clear(): Promise<void> {
    this.refusals.length = 0;
    await this.runtime.pods.removeAll();
    for (const uid of this.#claims) await this.release(uid);
  }

  lastWords(): string {
    return readFileSync(this.agent.daemon?.log ?? "", "utf8")
      .split("\n")
      .slice(-15)
      .join("\n");
  }

  async claim(cpus: string, pod: PodHandle): Promise<{ uid: string; id: string }> {
    const made = await this.agent.claim({ cpus }, [pod]);
    this.#claims.add(made.uid);
    return { uid: made.uid, id: made.ids["cpus"] ?? "" };
  }

  async release(uid: string): Promise<void> {
    this.#claims.delete(uid);
    await this.agent.release(uid);
    await until("the claim is drained", async () => (await this.agent.await(uid, 1000)).progress === DRAINED, 20_000);
  }

  /**
   * As a kubelet does: a start that the agent refused is tried again with a new container.
   * @param made after each creation, before its start.
   */
  async insist(
    pod: PodHandle,
    name: string,
    options: ContainerOptions = {},
    made: () => Promise<void> | void = () => {},
  ): Promise<ContainerHandle> {
    for (let attempt = 0; ; attempt++) {
      const id = await this.runtime.pods.create(pod, `${name}-${attempt}`, options);
      await made();
      try {
        return await this.runtime.pods.start(pod, `${name}-${attempt}`, id);
      } catch (cause) {
        const { message } = cause as Error;
        if (attempt > 10 || !message.includes("dra.cpu: cannot start")) throw cause;
        this.refusals.push(message.slice(message.indexOf("dra.cpu: ")));
        await this.runtime.pods.remove({ id });
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** A claim, and a container of its that runs. */
  async claimed(cpus: string): Promise<ContainerHandle> {
    const pod = await this.runtime.pods.pod("claimed");
    return this.insist(pod, "x1", { cdi: [(await this.claim(cpus, pod)).id], quota: 50_000n });
  }

  firstWords(one: ContainerHandle): Promise<string> {
    return until("its first words are there", () => one.first() || undefined, 10_000, 10);
  }

  /** CPUs in the runtime's own words about a container: what it would write, and at last wrote, to the cgroup. */
  async stored({ id }: ContainerHandle): Promise<string> {
    const { info } = await this.runtime.pods.cri.call("containerStatus", { containerId: id, verbose: true });
    const told = JSON.parse(info["info"] ?? "{}") as {
      runtimeSpec?: { linux?: { resources?: { cpu?: { cpus?: string } } } };
    };
    return told.runtimeSpec?.linux?.resources?.cpu?.cpus ?? "";
  }
}

/** Tests in a lab of their own: up before the first, down after the last, and cleared after each. */
export function inLab(title: string, lab: NativeLab, tests: () => void): void {
  describe(title, function () {
    this.timeout(FULL ? 600_000 : 120_000);
    before(() => lab.start());
    after(() => lab.stop());
    afterEach(async function () {
      if (this.currentTest?.state === "failed") console.log(lab.lastWords());
      if (lab.refusals.length > 0)
        console.log(`      ${lab.refusals.length} starts refused and tried again, the first: ${lab.refusals[0] ?? ""}`);
      await lab.clear();
    });
    tests();
  });
}

export const COMBINATIONS = [
  ["2.4", "file"],
  ["2.4", "runtime"],
  ["2.1", "file"],
  ["2.1", "runtime"],
] as const;
