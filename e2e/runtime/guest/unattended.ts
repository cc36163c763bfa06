import type { ContainerHandle } from "../../kit/containerd/pods.ts";
import { file, same, type Lab } from "./lab.ts";

/**
 * Two claims' containers are created, and started while the agent is dead: the runtime makes their partitions by the specs that it was given. CPUs 8 to 11
 * are another claim's.
 */
export async function unattended(
  { pods, agent }: Lab,
  see: {
    readonly firstWords: (one: ContainerHandle, wanted: string) => Promise<unknown>;
    readonly others: (wanted: string) => Promise<void>;
    readonly drained: (uid: string) => Promise<unknown>;
  },
): Promise<void> {
  const made = [];
  for (const [type, cpus] of [
    ["root", "4-5"],
    ["isolated", "12-13"],
  ] as const) {
    const pod = await pods.pod(`unattended-${type}`);
    const claim = await agent.claim({ cpus }, [pod], { isolated: type === "isolated" });
    made.push({ type, cpus, pod, claim, id: await pods.create(pod, "x", { cdi: Object.values(claim.ids) }) });
  }
  await see.others("0-7,12-15");
  agent.daemon?.signal("SIGKILL");
  await agent.daemon?.exited;
  const started = [];
  for (const one of made) {
    const x = await pods.start(one.pod, "x", one.id);
    await see.firstWords(x, one.cpus);
    same("partition", file(`${x.cgroup}/cpuset.cpus.partition`), one.type);
    started.push({ ...one, x });
  }
  await see.others("0-3,6-7,14-15");
  agent.start();
  await agent.replace();
  await agent.synchronized(60_000);
  for (const { x, type, cpus } of started) {
    same("its own list", file(`${x.cgroup}/cpuset.cpus.exclusive`), cpus);
    await pods.cri.call("updateContainerResources", { containerId: x.id, linux: { cpuShares: 512n } });
    same("partition", file(`${x.cgroup}/cpuset.cpus.partition`), type);
    same("x runs on", x.allowed(), cpus);
  }
  await see.others("0-3,6-7,14-15");
  for (const { pod, claim } of started) {
    await pods.removePod(pod);
    await agent.release(claim.uid);
    await see.drained(claim.uid);
  }
  await see.others("0-7,12-15");
}
