import { mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import type { ContainerHandle, PodHandle } from "../../kit/containerd/pods.ts";
import { until } from "../../kit/node/processes.ts";
import { PARTITION_ROWS as ROWS } from "./rows.ts";
import { disturbed } from "./disturbed.ts";
import { allowed, becomes, CGROUP, drained, file, firstWords, Lab, same, taskset } from "./lab.ts";

const lab = await Lab.begin("auto", "0-15");
const { pods, agent } = lab;
const others = async (wanted: string, ...containers: ContainerHandle[]): Promise<void> => {
  for (const one of containers) await becomes(`${one.name} runs on`, () => one.allowed(), wanted);
  same("PID 1 runs on", allowed(1), wanted);
  same("this host process runs on", allowed("self"), wanted);
};

const [shared, p1, p2, p3] = await Promise.all([
  pods.pod("shared"),
  pods.pod("claim1"),
  pods.pod("claim2", "burstable"),
  pods.pod("claim3"),
  lab.ready(),
]);
const s1 = await pods.run(shared, "s1");
let c1 = await agent.claim({ cpus: "4-5" }, [p1]);
const c2 = await agent.claim({ cpus: "8-11" }, [p2]);
let x1: ContainerHandle = s1;
let x2: ContainerHandle = s1;
const claimed = (
  pod: PodHandle,
  name: string,
  claim: { ids: Readonly<Record<string, string>> },
): Promise<ContainerHandle> => pods.run(pod, name, { cdi: Object.values(claim.ids) });

await lab.row(ROWS[0], async () => {
  const state = await agent.state();
  same("lever", String(state.lever), "1");
  same("s1 runs on", s1.allowed(), "0-15");
});
await lab.row(ROWS[1], async () => {
  x1 = await pods.run(p1, "x1", { cdi: Object.values(c1.ids), quota: 50_000n });
  await firstWords(x1, "4-5");
  same("its quota", file(`${x1.cgroup}/cpu.max`), "max 100000");
  await others("0-3,6-15", s1);
  same("s1's own mask", file(`${s1.cgroup}/cpuset.cpus`), "0-15");
  same("partition", file(`${x1.cgroup}/cpuset.cpus.partition`), "root");
});
await lab.row(ROWS[2], async () => {
  x2 = await claimed(p2, "x2", c2);
  await firstWords(x2, "8-11");
  same("x1 runs on", x1.allowed(), "4-5");
  await others("0-3,6-7,12-15", s1);
});
await lab.row(ROWS[3], async () => {
  const dir = `/kubepods/besteffort/pod${p1.uid}/other`;
  mkdirSync(CGROUP + dir);
  try {
    let code = "accepted";
    try {
      writeFileSync(`${CGROUP}${dir}/cpuset.cpus.exclusive`, "5\n");
    } catch (cause) {
      code = (cause as NodeJS.ErrnoException).code ?? "";
    }
    same("a sibling that asks for CPU 5", code, "EINVAL");
  } finally {
    rmdirSync(CGROUP + dir);
  }
});
let s2 = s1;
const late = await agent.claim({ cpus: "12-13" }, [p3], { isolated: true });
const created = await pods.create(p3, "x3", { cdi: Object.values(late.ids) });
await lab.row(ROWS[4], async () => {
  agent.daemon?.signal("SIGKILL");
  await agent.daemon?.exited;
  s2 = await pods.run(shared, "s2");
  await firstWords(s2, "0-3,6-7,12-15");
  const s3 = await pods.run(shared, "s3", { cpus: "4-7" });
  await firstWords(s3, "6-7");
});
await lab.row(ROWS[5], async () => {
  const { stdout } = await pods.cri.call("execSync", {
    containerId: x1.id,
    cmd: ["/bin/grep", "Cpus_allowed_list", "/proc/self/status"],
    timeout: 20n,
  });
  same("exec in x1", Buffer.from(stdout).toString("utf8").trim().split(/\s+/)[1] ?? "", "4-5");
  await pods.cri.call("updateContainerResources", { containerId: x1.id, linux: { cpuShares: 512n } });
  same("x1 after an update of its shares", x1.allowed(), "4-5");
  await pods.cri.call("updateContainerResources", { containerId: s1.id, linux: { cpusetCpus: "0-15" } });
  same("s1 after an update to all CPUs", s1.allowed(), "0-3,6-7,12-15");
});
await lab.row(ROWS[6], async () => {
  const status = await taskset("4-5", process.pid);
  if (status === 0) throw new Error("taskset moved a host process onto claimed CPUs");
});
await lab.row(ROWS[7], async () => {
  await pods.remove(x1);
  await others("0-7,12-15", s1, s2);
  same("x2 runs on", x2.allowed(), "8-11");
});
await lab.row(ROWS[8], async () => {
  const x = await pods.start(p3, "x3", created);
  const partition = `${x.cgroup}/cpuset.cpus.partition`;
  await firstWords(x, "12-13");
  same("partition", file(partition), "isolated");
  await others("0-7,14-15", s1, s2);
  agent.start();
  await lab.ready();
  same("besteffort's list after the start", file("/kubepods/besteffort/cpuset.cpus.exclusive"), "12-13");
  same("x3's own list", file(`${x.cgroup}/cpuset.cpus.exclusive`), "12-13");
  await pods.cri.call("updateContainerResources", { containerId: x.id, linux: { cpuShares: 512n } });
  same("partition after an update", file(partition), "isolated");
  same("x3 runs on", x.allowed(), "12-13");
  await others("0-7,14-15", s1, s2);
  await pods.removePod(p3);
  await agent.release(late.uid);
  await drained(agent, late.uid);
});
await lab.row(ROWS[9], async () => {
  same("besteffort's list", file("/kubepods/besteffort/cpuset.cpus.exclusive"), "");
  x1 = await claimed(p1, "x1b", c1);
  await firstWords(x1, "4-5");
  await others("0-3,6-7,12-15", s1, s2);
  await pods.remove(x1);
  await agent.release(c1.uid);
  await drained(agent, c1.uid);
});
await lab.row(ROWS[10], async () => {
  c1 = await agent.claim({ cpus: "4-5" }, [p1], { isolated: true, idle: "6" });
  same("s1's own mask when the claim is prepared", file(`${s1.cgroup}/cpuset.cpus`), "0-5,7-15");
  x1 = await claimed(p1, "x1c", c1);
  await firstWords(x1, "4-5");
  for (const one of [s1, s2]) await becomes(`${one.name} runs on`, () => one.allowed(), "0-3,7,12-15");
  same("a host process may still use the idle CPU", allowed("self"), "0-3,6-7,12-15");
  same("partition", file(`${x1.cgroup}/cpuset.cpus.partition`), "isolated");
  same("isolated CPUs of the machine", file("/cpuset.cpus.isolated"), "4-5");
  await pods.remove(x1);
  await agent.release(c1.uid);
  await drained(agent, c1.uid);
});
await lab.row(ROWS[11], async () => {
  for (let n = 0; n < 4; n++) {
    const pod = await pods.pod(`turn${n}`, n % 2 === 0 ? "besteffort" : "burstable");
    const claim = await agent.claim({ cpus: "4-5" }, [pod]);
    const x = await claimed(pod, "x", claim);
    await firstWords(x, "4-5");
    await others("0-3,6-7,12-15", s1);
    await pods.remove(x);
    await pods.removePod(pod);
    await agent.release(claim.uid);
    await drained(agent, claim.uid);
  }
});
await lab.row(ROWS[12], async () => {
  const pod = await pods.pod("together");
  c1 = await agent.claim({ a: "4", b: "5" }, [pod]);
  const both = Object.values(c1.ids);
  const a = await pods.run(pod, "a", { cdi: both });
  const b = await pods.run(pod, "b", { cdi: both });
  await firstWords(a, "4-5");
  await firstWords(b, "4-5");
  const podCgroup = `/kubepods/besteffort/pod${pod.uid}`;
  same("partition of the pod", file(`${podCgroup}/cpuset.cpus.partition`), "root");
  await others("0-3,6-7,12-15", s1);
  await lab.row(ROWS[13], async () => {
    const c = await pods.run(pod, "c");
    await firstWords(c, "0-3,6-7,12-15");
    await becomes("a runs on", () => a.allowed(), "4-5");
    await becomes("b runs on", () => b.allowed(), "4-5");
    await becomes("s1 runs on", () => s1.allowed(), "0-3,6-7,12-15");
    same("partition of the pod", file(`${podCgroup}/cpuset.cpus.partition`), "member");
    same("the pod's own mask", file(`${podCgroup}/cpuset.cpus`), "");
  });
  await pods.removePod(pod);
  await agent.release(c1.uid);
  await drained(agent, c1.uid);
  await becomes("s1 runs on", () => s1.allowed(), "0-7,12-15");
});
await lab.row(ROWS[14], async () => {
  const pod = await pods.pod("mixed");
  c1 = await agent.claim({ cpus: "4-5" }, [pod]);
  const plain = await pods.run(pod, "plain");
  const a = await claimed(pod, "a", c1);
  const b = await claimed(pod, "b", c1);
  await firstWords(b, "4-5");
  await becomes("a runs on", () => a.allowed(), "4-5");
  await becomes("plain runs on", () => plain.allowed(), "0-3,6-7,12-15");
  await becomes("s1 runs on", () => s1.allowed(), "0-3,6-7,12-15");
  await pods.removePod(pod);
  await agent.release(c1.uid);
  await drained(agent, c1.uid);
});
await lab.row(ROWS[15], async () => {
  await pods.remove(x2);
  await agent.release(c2.uid);
  await drained(agent, c2.uid);
  await others("0-15", s1, s2);
  const pod = await pods.pod("greedy");
  c1 = await agent.claim({ cpus: "1-15" }, [pod]);
  const x = await claimed(pod, "x", c1);
  await firstWords(x, "1-15");
  await others("0", s1, s2);
  await pods.removePod(pod);
  await agent.release(c1.uid);
  await drained(agent, c1.uid);
  await others("0-15", s1, s2);
});
const everyCpu = async (): Promise<void> => {
  const [low, high] = [await pods.pod("low"), await pods.pod("high")];
  const halves = [await agent.claim({ cpus: "0-7" }, [low]), await agent.claim({ cpus: "8-15" }, [high])] as const;
  const x = await claimed(low, "x", halves[0]);
  await firstWords(x, "0-7");
  same("partition of the first", file(`${x.cgroup}/cpuset.cpus.partition`), "root");
  const y = await claimed(high, "y", halves[1]);
  await firstWords(y, "8-15");
  same("partition of the last", file(`${y.cgroup}/cpuset.cpus.partition`), "member");
  same("x runs on", x.allowed(), "0-7");
  await others("8-15", s1);
  const { problemCodes } = await agent.state();
  if (!problemCodes.includes("DRACPU-105")) throw new Error(`told is only ${problemCodes.join(", ")}`);
  for (const pod of [low, high]) await pods.removePod(pod);
  for (const half of halves) await agent.release(half.uid);
  for (const half of halves) await drained(agent, half.uid);
  await others("0-15", s1);
};
if (process.env["DRACPU_FULL"] !== undefined) await lab.row(ROWS[16], everyCpu);
const { c3, x3 } = await disturbed(lab, s1, ROWS.slice(17, 22));
await lab.row(ROWS[22], async () => {
  const next = async (lever: "auto" | "file", partition: string, own: string): Promise<void> => {
    await agent.daemon?.stop();
    agent.start(lever);
    await lab.ready();
    await becomes("partition", () => file(`${x3.cgroup}/cpuset.cpus.partition`), partition);
    await becomes("s1's own mask", () => file(`${s1.cgroup}/cpuset.cpus`), own);
    for (const [one, wanted] of [
      [x3, "4-5"],
      [s1, "0-3,6-15"],
    ] as const)
      await becomes(`${one.name} runs on`, () => one.allowed(), wanted);
    const late = await pods.run(shared, `late-${lever}`);
    await firstWords(late, "0-3,6-15");
  };
  await next("file", "member", "0-3,6-15");
  await next("auto", "root", "0-15");
});
await lab.row(ROWS[23], async () => {
  const session = async (): Promise<string> => (await agent.state()).nri?.sessionId ?? "";
  const before = await session();
  await agent.release(c3.uid);
  await lab.changeRuntime({ dir: "/tmp/lab-2.1", program: "/job/containerd" });
  await until("another session", async () => !["", before].includes(await session()), 60_000, 200);
  await agent.synchronized(60_000);
  await drained(agent, c3.uid);
  const [beside, p] = await Promise.all([lab.pods.pod("beside"), lab.pods.pod("claim21", "burstable")]);
  const s = await lab.pods.run(beside, "s");
  const claim = await agent.claim({ cpus: "4-5" }, [p]);
  const x = await lab.pods.run(p, "x21", { cdi: Object.values(claim.ids), quota: 50_000n });
  await firstWords(x, "4-5");
  same("its quota", file(`${x.cgroup}/cpu.max`), "max 100000");
  same("partition", file(`${x.cgroup}/cpuset.cpus.partition`), "root");
  await others("0-3,6-15", s);
  same("s's own mask", file(`${s.cgroup}/cpuset.cpus`), "0-15");
  await lab.pods.remove(x);
  await agent.release(claim.uid);
  await drained(agent, claim.uid);
  await others("0-15", s);
});
const metrics = await (await fetch("http://127.0.0.1:8081/metrics")).text();
console.log(
  metrics
    .split("\n")
    .filter((line) => /hook_duration_seconds_(sum|count)\{hook="(Create|Start)Container"/.test(line))
    .join("\n"),
);
lab.end();
