import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { AgentProcess } from "../../kit/agent/agent.ts";
import type { ContainerHandle, Pods } from "../../kit/containerd/pods.ts";
import { GuestContainerd, type GuestContainerdOptions } from "../../kit/guest/containerd.ts";
import { until } from "../../kit/node/processes.ts";

export const CGROUP = "/sys/fs/cgroup";

/** Runs inside the guest: containerd, the agent's bundle, and rows that are printed one a line for the host to read. */
export class Lab {
  readonly agent: AgentProcess;
  /** Whose last lines are printed when a row fails. */
  readonly logs: (() => string)[];
  failed = 0;
  #containerd: GuestContainerd;

  private constructor(agent: AgentProcess, containerd: GuestContainerd) {
    this.#containerd = containerd;
    this.agent = agent;
    this.logs = [() => readFileSync(agent.daemon?.log ?? "", "utf8")];
  }

  /** containerd; the agent loads while that takes the image, and may not be ready yet. */
  static async begin(
    lever: "auto" | "kernel" | "file",
    online: string,
    nriSocket = "/var/run/nri/nri.sock",
    options: GuestContainerdOptions = {},
  ): Promise<Lab> {
    const agent = new AgentProcess({
      dir: "/tmp/lab",
      argv: [process.execPath, "/job/dracpu-agent.cjs"],
      nriSocket,
      cdiDir: "/var/run/cdi",
      lever,
      online: CpuSet.parse(online),
      bindAddress: "127.0.0.1:8081",
      more: ["--pin-memory"],
    });
    const containerd = new GuestContainerd(options);
    await containerd.start(() => agent.start());
    return new Lab(agent, containerd);
  }

  get pods(): Pods {
    return this.#containerd.pods;
  }

  /** All pods go, and another runtime takes the place of the one that ran them. The agent is not started anew. */
  async changeRuntime(options: GuestContainerdOptions): Promise<void> {
    await this.#containerd.stop();
    this.#containerd = new GuestContainerd(options);
    await this.#containerd.start();
  }

  /** The test takes the driver's place. */
  async ready(): Promise<void> {
    await this.agent.replace();
    await this.agent.synchronized(60_000);
  }

  async row(name: string, run: () => Promise<void>): Promise<void> {
    const began = Date.now();
    try {
      await run();
      console.log(`ROW ok ${name} (${Date.now() - began} ms)`);
    } catch (cause) {
      this.failed += 1;
      console.log(`ROW failed ${name}: ${(cause as Error).message.replaceAll("\n", " ").slice(0, 600)}`);
      for (const log of this.logs) console.log(log().split("\n").slice(-8).join("\n"));
    }
  }

  /** All else goes with the machine. */
  end(): never {
    process.exit(this.failed === 0 ? 0 : 1);
  }
}

/** `Cpus_allowed_list` of a process. */
export function allowed(pid: number | "self"): string {
  return /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
}

export function file(path: string): string {
  return readFileSync(`${CGROUP}${path}`, "utf8").trim();
}

/** @throws where they differ, with both. */
export function same(what: string, found: string, wanted: string): void {
  if (found !== wanted) throw new Error(`${what}: found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)}`);
}

/** Waits until it is so. */
export function becomes(what: string, look: () => string, wanted: string, ms = 20_000): Promise<true> {
  let last = "";
  return until(what, () => (last = look()) === wanted, ms, 50).catch(() => {
    throw new Error(`${what}: found ${JSON.stringify(last)}, wanted ${JSON.stringify(wanted)}`);
  });
}

/** All of its containers are gone, as the agent says. */
export function drained(agent: AgentProcess, uid: string): Promise<boolean> {
  return until("the claim is drained", async () => (await agent.await(uid, 2000)).progress === 3, 30_000);
}

export function firstWords(one: ContainerHandle, wanted: string): Promise<true> {
  return becomes(`first instruction of ${one.name}`, () => one.first(), wanted);
}

export function taskset(cpus: string, pid: number): Promise<number | null> {
  return new Promise((resolve) => {
    spawn("taskset", ["-pc", cpus, String(pid)], { stdio: "ignore" }).on("exit", resolve);
  });
}

/** Takes a CPU offline, or back. The kernel answers EBUSY while it rebuilds scheduling domains. */
export function setOnline(cpu: number, on: boolean, ms = 10_000): Promise<true> {
  return until(
    `CPU ${cpu} is ${on ? "online" : "offline"}`,
    () => {
      writeFileSync(`/sys/devices/system/cpu/cpu${cpu}/online`, on ? "1" : "0");
      return true;
    },
    ms,
  );
}
