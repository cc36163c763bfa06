import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { until } from "../../kit/node/processes.ts";
import type { ContainerHandle, PodHandle } from "../../kit/containerd/pods.ts";
import { allowed, becomes, file, firstWords, Lab, same } from "./lab.ts";
import { SYSTEMD_ROWS as ROWS } from "./rows.ts";

const lab = await Lab.begin("auto", "0-15", undefined, { systemd: true });
const { pods, agent } = lab;
const systemctl = (...args: string[]): string => execFileSync("systemctl", args, { encoding: "utf8" }).trim();
const unitOf = (one: ContainerHandle): string => one.cgroup.slice(one.cgroup.lastIndexOf("/") + 1);
/** What is written again of a unit is what systemd has of it, when something of it changes. */
const written = (...all: readonly ContainerHandle[]): void => {
  systemctl("daemon-reload");
  for (const one of all) systemctl("set-property", "--runtime", unitOf(one), "CPUWeight=77");
};
const rest = async (wanted: string, ...all: ContainerHandle[]): Promise<void> => {
  for (const one of all) await becomes(`${one.name} runs on`, () => one.allowed(), wanted);
};
const run = (
  pod: PodHandle,
  name: string,
  claim: { ids: Readonly<Record<string, string>> },
): Promise<ContainerHandle> => pods.run(pod, name, { cdi: Object.values(claim.ids), quota: 50_000n });
const unlimited = (one: ContainerHandle): void =>
  same(`quota of ${one.name}`, file(`${one.cgroup}/cpu.max`), "max 100000");

const [shared, sharedCrun, p1, p2] = await Promise.all([
  pods.pod("shared"),
  pods.pod("shared-crun", "besteffort", "crun"),
  pods.pod("claim1"),
  pods.pod("claim2", "burstable", "crun"),
  lab.ready(),
]);
const s1 = await pods.run(shared, "s1");
const s2 = await pods.run(sharedCrun, "s2");
const c1 = await agent.claim({ cpus: "4-5" }, [p1]);
const c2 = await agent.claim({ cpus: "10-11" }, [p2]);
const OTHERS = "0-3,6-9,12-15";
let x1 = s1;
let x2 = s2;
const alone = (): void => {
  for (const [one, cpus] of [
    [x1, "4-5"],
    [x2, "10-11"],
  ] as const) {
    same(`${one.name} runs on`, one.allowed(), cpus);
    same(`partition of ${one.name}`, file(`${one.cgroup}/cpuset.cpus.partition`), "root");
    unlimited(one);
  }
  for (const one of [s1, s2]) same(`${one.name} runs on`, one.allowed(), OTHERS);
};

await lab.row(ROWS[0], async () => {
  // The one that makes 1 % of a CPU of a quota of -1.
  same("crun", execFileSync("crun", ["--version"], { encoding: "utf8" }).split("\n")[0] ?? "", "crun version 1.21");
  same("first process", readFileSync("/proc/1/comm", "utf8").trim(), "systemd");
  for (const one of [s1, s2]) same(`unit of ${one.name}`, systemctl("is-active", unitOf(one)), "active");
  same("lever", String((await agent.state()).lever), "1");
  x1 = await run(p1, "x1", c1);
  x2 = await run(p2, "x2", c2);
  await firstWords(x1, "4-5");
  await firstWords(x2, "10-11");
  alone();
  same("PID 1 runs on", allowed(1), OTHERS);
});
await lab.row(ROWS[1], () => {
  systemctl("daemon-reexec");
  written(s1, s2, x1, x2);
  alone();
  return Promise.resolve();
});
await lab.row(ROWS[2], async () => {
  for (const { id: containerId } of [x1, x2]) {
    const linux = { cpuShares: 512n, cpuQuota: 50_000n, cpuPeriod: 100_000n };
    await pods.cri.call("updateContainerResources", { containerId, linux });
  }
  for (const { id: containerId } of [s1, s2])
    await pods.cri.call("updateContainerResources", { containerId, linux: { cpusetCpus: "0-15" } });
  alone();
});
await lab.row(ROWS[3], async () => {
  agent.daemon?.signal("SIGKILL");
  await agent.daemon?.exited;
  const late = await pods.run(sharedCrun, "late");
  await firstWords(late, OTHERS);
  systemctl("daemon-reload");
  agent.start();
  await lab.ready();
  await rest(OTHERS, late);
  alone();
  await pods.remove(late);
});
await lab.row(ROWS[4], async () => {
  for (const one of [x1, x2]) await pods.remove(one);
  for (const { uid } of [c1, c2]) await agent.release(uid);
  await rest("0-15", s1, s2);
  same("PID 1 runs on", allowed(1), "0-15");
});

async function byMasks(
  pod: PodHandle,
  lever: "file" | "runtime",
  wanted: string,
  more: () => Promise<void>,
): Promise<void> {
  await agent.daemon?.stop();
  agent.start(lever);
  await lab.ready();
  same("lever", String((await agent.state()).lever), wanted);
  const claim = await agent.claim({ cpus: "8-9" }, [pod]);
  const x = await run(pod, `x-${lever}`, claim);
  await firstWords(x, "8-9");
  unlimited(x);
  await rest("0-7,10-15", s1, s2);
  written(s1, s2, x);
  same("the claim's container runs on", x.allowed(), "8-9");
  unlimited(x);
  // With the file lever a scope may get what systemd knows of it, which is the runtime's mask of some time ago.
  if (lever === "file") await rest("0-7,10-15", s1, s2);
  else for (const one of [s1, s2]) same(`${one.name} runs on`, one.allowed(), "0-7,10-15");
  await more();
  await pods.remove(x);
  await agent.release(claim.uid);
  await rest("0-15", s1, s2);
}
await lab.row(ROWS[5], () =>
  byMasks(p2, "file", "2", async () => {
    // The runtime's stored masks follow the files, and systemd's are the runtime's.
    for (const one of [s1, s2])
      await becomes(`${one.name}, by systemd`, () => systemctl("show", "-P", "AllowedCPUs", unitOf(one)), "0-7 10-15");
    const escapes = async (): Promise<bigint> => (await agent.state()).counters?.escapes ?? 0n;
    const before = await escapes();
    systemctl("set-property", "--runtime", unitOf(s1), "AllowedCPUs=0-13");
    await until("it is found", async () => (await escapes()) > before, 20_000);
    await rest("0-7,10-15", s1);
  }),
);
await lab.row(ROWS[6], () => byMasks(p1, "runtime", "3", () => Promise.resolve()));
lab.end();
