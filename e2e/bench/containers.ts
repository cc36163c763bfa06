import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { shipped } from "../../images/environment.ts";
import { AgentProcess } from "../kit/agent/agent.ts";
import { Containerd } from "../kit/containerd/containerd.ts";
import type { ContainerHandle, PodHandle } from "../kit/containerd/pods.ts";
import { allocatedClaim, DriverProcess } from "../kit/driver.ts";
import { FakeApiServer } from "../kit/fakecluster/apiserver.ts";
import { FakeKubelet } from "../kit/fakecluster/kubelet.ts";
import { until } from "../kit/node/processes.ts";
import type { Figures } from "./figures.ts";

const ROUNDS = 8;

/**
 * A claim of both programs on a real containerd that runs shared containers, with this process in the kubelet's place: from Prepare's call on, how long
 * until the others are off, until Prepare is answered, until the claim's container runs, and what a pod feels that has nothing to do with it.
 */
export async function benchContainers(
  figures: Figures,
  bundles: { readonly driver: string; readonly agent: string },
): Promise<void> {
  const runtime = new Containerd("2.4");
  const api = new FakeApiServer();
  const kubelet = new FakeKubelet(join(runtime.dir, "kubelet"));
  const agent = new AgentProcess({
    dir: runtime.dir,
    argv: shipped(bundles.agent),
    nriSocket: runtime.nriSocket,
    cdiDir: runtime.cdiDir,
    lever: "file",
    online: CpuSet.parse("0-1"),
    byFile: true,
  });
  let driver: DriverProcess | undefined;
  try {
    await runtime.start();
    await api.listen();
    // It keeps CPU 0 for the shared pool: the claim's is 1.
    driver = new DriverProcess({
      dir: runtime.dir,
      argv: shipped(bundles.driver),
      kubeconfig: api.kubeconfig(join(runtime.dir, "kubeconfig")),
      kubeletRootDir: kubelet.rootDir,
      agentSocket: join(runtime.dir, "ctl", "control.sock"),
      flags: { "--cdi-dir": runtime.cdiDir },
      byFile: true,
    });
    agent.start();
    driver.start();
    await kubelet.register();
    await agent.synchronized();
    await until("a slice is published", () => api.slices.size > 0);
    const pod = await runtime.pods.pod("shared");
    const target = await runtime.pods.pod("claimed");
    const shared: ContainerHandle[] = [];
    const alone = await starts(runtime, "alone", () => Promise.resolve());
    for (const count of [0, 50, 200]) {
      while (shared.length < count)
        shared.push(await runtime.pods.run(pod, `s${shared.length}`, { command: ["/bin/sleep", "100000"] }));
      figures.title(`containerd 2.4 with ${count} shared containers, file lever`);
      const moved: number[] = [];
      const prepared: number[] = [];
      const running: number[] = [];
      const stalls = await starts(runtime, `n${count}`, async () => {
        for (let n = 0; n < ROUNDS; n++) {
          const began = performance.now();
          const off = readBack(shared, began);
          const { claim, ref } = claimOf(`x${count}-${n}`, target);
          api.claims.set(`default/${ref.name}`, claim);
          const { devices, error } = await kubelet.prepare(ref);
          if (error !== "") throw new Error(error);
          prepared.push(performance.now() - began);
          const x = await runtime.pods.run(target, ref.name, { cdi: devices.flatMap((one) => one.cdiDeviceIds) });
          running.push(performance.now() - began);
          moved.push(await off);
          if (x.allowed() !== "1") throw new Error(`the claim's container runs on ${x.allowed()}`);
          await runtime.pods.remove(x);
          const refused = await kubelet.unprepare(ref);
          if (refused !== "") throw new Error(refused);
          await until("drained", async () => (await agent.state()).allocations.length === 0);
          await until("they are back", () => shared.every((one) => maskOf(one) === "0-1"), 20_000, 20);
        }
      });
      if (count > 0) figures.times("until the last is read back off the CPUs", moved, count === 200 ? 100 : undefined);
      figures.times("until Prepare is answered", prepared);
      figures.times("until the claim's container runs", running);
      figures.times("an unrelated pod's start, sandbox and container, meanwhile", stalls);
    }
    figures.title("for comparison");
    figures.times("a pod's start with nothing else going on", alone);
    figures.note(
      "the kernel lever, cgroup v2: `npm run test:runtime -- --only guest` prints what StartContainer takes with it",
    );
  } finally {
    await driver?.daemon?.stop();
    await agent.daemon?.stop();
    kubelet.close();
    await runtime.stop();
    await api.close();
  }
}

/** Of a pod that the runtime knows, with a uid as real ones have. */
function claimOf(name: string, pod: PodHandle): ReturnType<typeof allocatedClaim> {
  const { claim, ref } = allocatedClaim(name, 1);
  const metadata = { ...ref, uid: randomUUID() };
  const reservedFor = [{ resource: "pods", name: pod.name, uid: pod.uid }];
  return { ref: metadata, claim: { metadata, status: { ...claim.status, reservedFor } } };
}

/** Starts and removes pods of one container, one after the other, as long as `work` takes. @returns ms of each start. */
async function starts(runtime: Containerd, name: string, work: () => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  const progress = { isDone: false };
  const working = work().finally(() => {
    progress.isDone = true;
  });
  for (let n = 0; n < 5 || !progress.isDone; n++) {
    const began = performance.now();
    const pod = await runtime.pods.pod(`${name}-${n}`);
    await runtime.pods.run(pod, "c");
    times.push(performance.now() - began);
    await runtime.pods.removePod(pod);
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
