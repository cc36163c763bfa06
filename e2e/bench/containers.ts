import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { AgentProcess } from "../kit/agent/agent.ts";
import { Containerd } from "../kit/containerd/containerd.ts";
import type { ContainerHandle, PodHandle } from "../kit/containerd/pods.ts";
import { until } from "../kit/node/processes.ts";
import type { Figures } from "./figures.ts";

const ROUNDS = 8;

/** A claim on a real containerd that runs shared containers: how long until they are off, until it runs, and what others feel of it. */
export async function benchContainers(figures: Figures, agentBundle: string): Promise<void> {
  const runtime = new Containerd("2.4");
  const agent = new AgentProcess({
    dir: runtime.dir,
    argv: [process.execPath, agentBundle],
    nriSocket: runtime.nriSocket,
    cdiDir: runtime.cdiDir,
    lever: "file",
    online: CpuSet.parse("0-1"),
  });
  try {
    await runtime.start();
    agent.start();
    await agent.replace();
    await agent.synchronized();
    const pod = await runtime.pods.pod("shared");
    const others = await runtime.pods.pod("others");
    const target = await runtime.pods.pod("claimed");
    const shared: ContainerHandle[] = [];
    const alone = await starts(runtime, others, "alone", () => Promise.resolve());
    for (const count of [0, 50, 200]) {
      while (shared.length < count)
        shared.push(await runtime.pods.run(pod, `s${shared.length}`, { command: ["/bin/sleep", "100000"] }));
      figures.title(`containerd 2.4 with ${count} shared containers, file lever`);
      const moved: number[] = [];
      const enforced: number[] = [];
      const running: number[] = [];
      const stalls = await starts(runtime, others, `n${count}`, async () => {
        for (let n = 0; n < ROUNDS; n++) {
          const began = performance.now();
          const off = readBack(shared, began);
          const claim = await agent.claim({ cpus: "1" }, [target]);
          enforced.push(performance.now() - began);
          const name = `x${count}-${n}`;
          const x = await runtime.pods.run(target, name, { cdi: [claim.ids["cpus"] ?? ""] });
          running.push(performance.now() - began);
          moved.push(await off);
          if (x.allowed() !== "1") throw new Error(`the claim's container runs on ${x.allowed()}`);
          await runtime.pods.remove(x);
          await agent.release(claim.uid);
          await until("drained", async () => (await agent.await(claim.uid, 1000)).progress === 3);
          await until("they are back", () => shared.every((one) => maskOf(one) === "0-1"), 20_000, 20);
        }
      });
      if (count > 0) figures.times("until the last is read back off the CPUs", moved, count === 200 ? 100 : undefined);
      figures.times("until the agent answers ENFORCED", enforced);
      figures.times("until the claim's container runs", running);
      figures.times("an unrelated container's start, meanwhile", stalls);
    }
    figures.title("for comparison");
    figures.times("a container's start with nothing else going on", alone);
  } finally {
    await agent.daemon?.stop();
    await runtime.stop();
  }
}

/** Starts and removes containers one after the other as long as `work` takes. @returns ms of each start. */
async function starts(runtime: Containerd, pod: PodHandle, name: string, work: () => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  const progress = { isDone: false };
  const working = work().finally(() => {
    progress.isDone = true;
  });
  for (let n = 0; n < 5 || !progress.isDone; n++) {
    const began = performance.now();
    const one = await runtime.pods.run(pod, `${name}-${n}`);
    times.push(performance.now() - began);
    await runtime.pods.remove(one);
  }
  await working;
  return times;
}

function maskOf(container: ContainerHandle): string {
  return readFileSync(join("/sys/fs/cgroup/cpuset", container.cgroup, "cpuset.effective_cpus"), "utf8").trim();
}

/** Follows the containers' cgroups one by one, so that looking costs little. @returns ms from `began` until the last is off CPU 1. */
async function readBack(containers: readonly ContainerHandle[], began: number): Promise<number> {
  let at = 0;
  await until(
    "all are off",
    () => {
      for (; at < containers.length; at++) {
        const one = containers[at];
        if (one !== undefined && maskOf(one) !== "0") return false;
      }
      return true;
    },
    20_000,
    2,
  );
  return performance.now() - began;
}
