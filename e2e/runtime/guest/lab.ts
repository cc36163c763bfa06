import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { AgentProcess } from "../../kit/agent/agent.ts";
import { Pods } from "../../kit/containerd/pods.ts";
import { Cri } from "../../kit/cri/client.ts";
import { startDaemon, until, type Daemon } from "../../kit/node/processes.ts";
import { execFileSync } from "node:child_process";

export const CGROUP = "/sys/fs/cgroup";

/** Runs inside the guest: containerd, the agent's bundle, and rows that are printed one a line for the host to read. */
export class Lab {
  readonly pods: Pods;
  readonly agent: AgentProcess;
  readonly #containerd: Daemon;
  /** Whose last lines are printed when a row fails. */
  readonly logs: (() => string)[];
  failed = 0;

  private constructor(pods: Pods, agent: AgentProcess, containerd: Daemon) {
    this.pods = pods;
    this.agent = agent;
    this.#containerd = containerd;
    this.logs = [() => readFileSync(agent.daemon?.log ?? "", "utf8")];
  }

  /** Everything, with the test in the driver's place. */
  static async start(lever: "auto" | "kernel" | "file", online: string): Promise<Lab> {
    const lab = await Lab.begin(lever, online);
    lab.agent.start();
    await lab.agent.replace();
    await lab.agent.synchronized(60_000);
    return lab;
  }

  /** containerd; the agent is not started yet. */
  static async begin(
    lever: "auto" | "kernel" | "file",
    online: string,
    nriSocket = "/var/run/nri/nri.sock",
  ): Promise<Lab> {
    mkdirSync("/tmp/lab/log", { recursive: true });
    writeFileSync(
      "/tmp/lab/containerd.toml",
      `version = 3
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'localhost/probe:1'
[plugins.'io.containerd.nri.v1.nri']
  disable = false
  plugin_request_timeout = '20s'
  plugin_registration_timeout = '30s'
`,
    );
    const containerd = startDaemon("containerd", ["containerd", "-c", "/tmp/lab/containerd.toml", "-l", "info"], {
      logDir: "/tmp/lab/log",
    });
    await until(
      "containerd answers",
      () => execFileSync("ctr", ["version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }) !== "",
      60_000,
      200,
    );
    execFileSync("ctr", ["-n", "k8s.io", "images", "import", "/job/probe.tar"], { stdio: "ignore" });
    const cri = new Cri("/run/containerd/containerd.sock");
    await until("the CRI answers", async () => (await cri.call("version", { version: "v1" })).runtimeName, 60_000, 200);
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
    return new Lab(new Pods(cri, "/tmp/lab", "/kubepods"), agent, containerd);
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

  async end(): Promise<never> {
    await this.pods
      .removeAll()
      .catch((cause: unknown) => console.log(`cannot remove all: ${(cause as Error).message}`));
    await this.agent.daemon?.stop();
    await this.#containerd.stop();
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
