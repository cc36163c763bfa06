import { writeFileSync } from "node:fs";
import { until } from "../../kit/node/processes.ts";
import { becomes, CGROUP, file, Lab, same, setOnline } from "./lab.ts";
import { MASK_ROWS as ROWS } from "./rows.ts";
import { sameTopology } from "./topology.ts";

const lab = await Lab.begin("auto", "0-15");
const { pods, agent } = lab;
const [shared] = await Promise.all([pods.pod("shared"), lab.ready()]);
const s1 = await pods.run(shared, "s1");

await lab.row(ROWS[0], async () => {
  const state = await agent.state();
  same("lever", String(state.lever), "2");
  if (!state.leverWhy.includes("6.7")) throw new Error(`the reason is ${JSON.stringify(state.leverWhy)}`);
});
await lab.row(ROWS[7], () => Promise.resolve(sameTopology()));
await lab.row(ROWS[1], async () => {
  const pod = await pods.pod("requests");
  const claim = await agent.claim({ fast: "2-3", slow: "10" }, [pod]);
  const a = await pods.run(pod, "a", { cdi: [claim.ids["fast"] ?? ""] });
  // Enforced is said of what was read back.
  same("s1 runs on", s1.allowed(), "0-1,4-9,11-15");
  const b = await pods.run(pod, "b", { cdi: [claim.ids["slow"] ?? ""] });
  await becomes("a's first instruction", () => a.first(), "2-3");
  await becomes("b's first instruction", () => b.first(), "10");
  await pods.removePod(pod);
  await agent.release(claim.uid);
});
await lab.row(ROWS[2], async () => {
  const pod = await pods.pod("two");
  const one = await agent.claim({ cpus: "2-3" }, [pod]);
  const two = await agent.claim({ cpus: "12" }, [pod]);
  const x = await pods.run(pod, "x", { cdi: [...Object.values(one.ids), ...Object.values(two.ids)], quota: 50_000n });
  same("its quota", file(`${x.cgroup}/cpu.max`), "max 100000");
  await becomes("its first instruction", () => x.first(), "2-3,12");
  await becomes(
    "its variable",
    () => x.environment().find((one) => one.startsWith("DRA_CPUS=")) ?? "",
    "DRA_CPUS=2-3,12",
  );
  await pods.removePod(pod);
  await agent.release(one.uid);
  await agent.release(two.uid);
});
await lab.row(ROWS[3], async () => {
  const [p, q] = await Promise.all([pods.pod("p"), pods.pod("q", "burstable")]);
  const [cp, cq] = await Promise.all([agent.claim({ cpus: "4-5" }, [p]), agent.claim({ cpus: "8-9" }, [q])]);
  same("s1 is read back", file(`${s1.cgroup}/cpuset.cpus.effective`), "0-3,6-7,10-15");
  const [x, y] = await Promise.all([
    pods.run(p, "x", { cdi: Object.values(cp.ids) }),
    pods.run(q, "y", { cdi: Object.values(cq.ids) }),
  ]);
  await becomes("x's first instruction", () => x.first(), "4-5");
  await becomes("y's first instruction", () => y.first(), "8-9");
});
await lab.row(ROWS[4], async () => {
  agent.daemon?.signal("SIGKILL");
  await agent.daemon?.exited;
  const s2 = await pods.run(shared, "s2");
  await becomes("s2's first instruction", () => s2.first(), "0-15");
  agent.start();
  await agent.replace();
  await becomes("s2 runs on", () => s2.allowed(), "0-3,6-7,10-15");
  const { counters } = await agent.state();
  same("escapes", String(counters?.escapes), "1");
  same("repairs", String(counters?.repairs), "1");
});
const escapes = async (): Promise<number> => Number((await agent.state()).counters?.escapes);
await lab.row(ROWS[5], async () => {
  const before = await escapes();
  writeFileSync(`${CGROUP}${s1.cgroup}/cpuset.cpus`, "0-15\n");
  const began = Date.now();
  await becomes("s1 runs on", () => s1.allowed(), "0-3,6-7,10-15", 20_000);
  console.log(`      put right after ${Date.now() - began} ms`);
  await until("it is counted", async () => (await escapes()) === before + 1, 5000);
});
await lab.row(ROWS[6], async () => {
  const pod = await pods.pod("hot");
  const claim = await agent.claim({ cpus: "2-3" }, [pod]);
  const x = await pods.run(pod, "x", { cdi: Object.values(claim.ids) });
  await becomes("its first instruction", () => x.first(), "2-3");
  await setOnline(2, false);
  await becomes("x runs on", () => x.allowed(), "3");
  const before = await escapes();
  await setOnline(3, false);
  await until("the escape is counted", async () => (await escapes()) > before, 15_000, 200);
  await setOnline(2, true);
  await setOnline(3, true);
  await becomes("x runs on", () => x.allowed(), "2-3", 30_000);
  await becomes("s1 runs on", () => s1.allowed(), "0-1,6-7,10-15", 30_000);
});
await lab.row(ROWS[8], async () => {
  await agent.daemon?.stop();
  agent.start("runtime");
  await lab.ready();
  same("lever", String((await agent.state()).lever), "3");
  const pod = await pods.pod("last");
  const claim = await agent.claim({ cpus: "12-13" }, [pod]);
  same("s1 is read back", file(`${s1.cgroup}/cpuset.cpus.effective`), "0-1,6-7,10-11,14-15");
  const x = await pods.run(pod, "x", { cdi: Object.values(claim.ids), quota: 50_000n });
  await becomes("x's first instruction", () => x.first(), "12-13");
  same("its quota", file(`${x.cgroup}/cpu.max`), "max 100000");
  const late = await pods.run(shared, "late");
  await becomes("late's first instruction", () => late.first(), "0-1,6-7,10-11,14-15");
  await pods.remove(x);
  await agent.release(claim.uid);
  for (const one of [s1, late]) await becomes(`${one.name} runs on`, () => one.allowed(), "0-1,6-7,10-15");
});
lab.end();
