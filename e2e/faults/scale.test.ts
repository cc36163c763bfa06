import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { FakeWorld } from "../bench/fakeworld.ts";
import { allocatedClaim } from "../kit/driver.ts";
import { uidOf } from "../kit/driverworld.ts";
import { container, pod } from "../kit/enforcer.ts";
import type { ClaimReference } from "../kit/fakecluster/kubelet.ts";
import { until } from "../kit/node/processes.ts";
import { Curve } from "./curve.ts";
import { bundles } from "./programs.ts";
import { shipped } from "../../images/environment.ts";
import { bestOf } from "../kit/rounds.ts";

/** Of `--cycles`. */
const CYCLES = Number(process.env["DRACPU_CYCLES"] ?? 600);
const ENV = Array.from({ length: 10 }, (_, n) => `VARIABLE_${n}=${"x".repeat(40)}`);
/** The runtime cuts off a plugin that takes longer. */
const LIMIT_MS = 2000;

const IDLE_S = 10;

/** How often all threads of a process have gone to sleep. */
function turns(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`).map((one) =>
    readFileSync(`/proc/${pid}/task/${one}/status`, "utf8"),
  );
  return threads.reduce((sum, status) => sum + Number(/^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)?.[1]), 0);
}

// A runtime that speaks the real bytes, on cgroups that are files.
describe("scale", function () {
  this.timeout(CYCLES * 200 + 240_000);
  let world: FakeWorld;
  beforeEach(async () => {
    const programs = await bundles();
    world = new FakeWorld({ driver: shipped(programs.driver), agent: shipped(programs.agent) });
    await world.listen();
    const plugin = world.runtime.plugin();
    world.agent.start();
    world.driver.start();
    await plugin;
    await world.runtime.synchronize([], []);
    await world.agent.synchronized();
    await world.kubelet.register();
  });
  afterEach(() => world.end());

  const claimed = (name: string, count: number, podUid: string): ClaimReference => {
    const { claim } = allocatedClaim(name, count);
    const reservedFor = [{ resource: "pods", name: podUid, uid: podUid }];
    world.api.claims.set(`default/${name}`, {
      metadata: { ...claim.metadata, uid: uidOf(name) },
      status: { ...claim.status, reservedFor },
    });
    return { namespace: "default", name, uid: uidOf(name) };
  };
  const ofClaim = (podUid: string, id: string, claim: string): ReturnType<typeof container> =>
    container(podUid, id, {
      cdi: [`dra.k8s.io/cpu=claim-${uidOf(claim)}-cpus`],
      env: [`DRA_CPUSET_${uidOf(claim)}=0`, ...ENV],
      gate: true,
    });
  const ask = async (claim: ClaimReference): Promise<void> => {
    expect((await world.kubelet.prepare(claim)).error).to.equal("");
  };

  it(`${CYCLES} pods with claims come and go: memory and open files stay`, async () => {
    const curves = [
      new Curve("driver", world.driver.daemon?.pid ?? 0),
      new Curve("agent ", world.agent.daemon?.pid ?? 0),
    ];
    const began = performance.now();
    for (let n = 0; n < CYCLES; n++) {
      const [name, podUid] = [`c${n}`, `p${n}`];
      const claim = claimed(name, 1 + (n % 4), podUid);
      await ask(claim);
      const one = ofClaim(podUid, `x${n}`, name);
      const cpus = (await world.runtime.create(pod(podUid), one)).adjust?.linux?.resources?.cpu?.cpus ?? "";
      expect(CpuSet.parse(cpus).size).to.equal(1 + (n % 4));
      world.cgroups.add([one]);
      world.cgroups.set(one.id, cpus);
      for (const event of ["PostCreateContainer", "StartContainer", "PostStartContainer"])
        await world.runtime.event(event, pod(podUid), one);
      rmSync(join(world.cgroups.root, "cpuset/kubepods", podUid), { recursive: true });
      await world.runtime.stop(pod(podUid), one);
      await world.runtime.event("RemoveContainer", pod(podUid), one);
      expect(await world.kubelet.unprepare(claim)).to.equal("");
      world.api.claims.delete(`default/${name}`);
      if ((n + 1) % Math.ceil(CYCLES / 18) === 0) for (const curve of curves) curve.take(n + 1);
    }
    console.log(`      ${((performance.now() - began) / CYCLES).toFixed(1)} ms a pod`);
    for (const curve of curves) curve.print();
    expect(curves.flatMap((curve) => curve.growth())).to.deep.equal([]);
    await until("nothing is held", async () => (await world.agent.state()).pool?.held === "");
  });

  it("both programs ask for a CPU a few times a second while nothing happens", async () => {
    await ask(claimed("still", 1, "p-still"));
    const pids = [world.driver.daemon?.pid ?? 0, world.agent.daemon?.pid ?? 0];
    // What the start and the claim set off is over by then.
    await sleep(5000);
    const before = pids.map(turns);
    await sleep(IDLE_S * 1000);
    const rates = pids.map((pid, n) => (turns(pid) - (before[n] ?? 0)) / IDLE_S);
    console.log(`      driver ${rates[0]?.toFixed(1)} a second, agent ${rates[1]?.toFixed(1)}`);
    // A timer that turns for nothing does so a hundred times.
    for (const rate of rates) expect(rate).to.be.within(0.1, 30);
  });

  it("500 containers and 120 claims: from Synchronize to agreement in less than a second", async () => {
    // The machine that is played has 128 CPUs; claims of one each, some without a container.
    const names = Array.from({ length: 120 }, (_, n) => `many${n}`);
    for (const name of names) await ask(claimed(name, 1, `p-${name}`));
    const state = await world.agent.state();
    const cpusOf = new Map(state.allocations.map((one) => [one.claim?.name ?? "", one.shares[0]?.cpus ?? ""]));
    const own = names.slice(0, 100).map((name) => ofClaim(`p-${name}`, `x-${name}`, name));
    const shared = Array.from({ length: 400 }, (_, n) => container(`s${n}`, `s${n}`, { env: ENV }));
    world.cgroups.add([...own, ...shared]);
    for (const one of own) world.cgroups.set(one.id, cpusOf.get(one.id.slice(2)) ?? "");
    const masks = (): string[] =>
      shared.map((one) =>
        readFileSync(join(world.cgroups.root, "cpuset", one.linux?.cgroupsPath ?? "", "cpuset.cpus"), "utf8").trim(),
      );
    const all = [...own, ...shared];
    const held = CpuSet.union([...cpusOf.values()].map((text) => CpuSet.parse(text)));
    const agreed = await bestOf(1000, async () => {
      const again = world.runtime.plugin();
      world.runtime.drop();
      for (const one of shared) world.cgroups.set(one.id, "0-127");
      await again;
      const began = performance.now();
      await world.runtime.synchronize(
        all.map((one) => pod(one.podSandboxId.replace("sandbox-", ""))),
        all,
      );
      const answered = performance.now() - began;
      await until("every mask is right", () => masks().every((text) => !CpuSet.parse(text).overlaps(held)), 10_000, 5);
      const right = performance.now() - began;
      console.log(
        `      Synchronize answered after ${answered.toFixed(0)} ms, every mask right after ${right.toFixed(0)} ms`,
      );
      return right;
    });
    expect(agreed).to.be.below(1000);
  });

  it("2,000 containers with 1 MB of environment in all: within the runtime's limit, and its heap", async () => {
    const long = [`LONG=${"x".repeat(490)}`];
    const all = Array.from({ length: 2000 }, (_, n) => container(`p${n >> 2}`, `b${n}`, { env: long }));
    world.cgroups.add(all);
    const pods = Array.from({ length: 500 }, (_, n) => pod(`p${n}`));
    const again = world.runtime.plugin();
    world.runtime.drop();
    await again;
    const began = performance.now();
    await world.runtime.synchronize(pods, all, 2);
    const ms = performance.now() - began;
    await world.agent.synchronized();
    const status = readFileSync(`/proc/${world.agent.daemon?.pid ?? 0}/status`, "utf8");
    const peak = Number(/VmHWM:\s*(\d+) kB/.exec(status)?.[1]) / 1024;
    console.log(`      answered after ${ms.toFixed(0)} ms; the agent's memory peaked at ${peak.toFixed(0)} MB`);
    expect(ms).to.be.below(LIMIT_MS);
    expect((await world.agent.state()).nri?.state).to.equal(4);
  });
});
