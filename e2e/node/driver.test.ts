import { readdirSync } from "node:fs";
import { expect } from "chai";
import { allowedOf, isThere } from "./kernel.ts";
import { STUBBORN } from "./objects.ts";
import { world } from "./suite.ts";
import { until, type Place } from "./world.ts";

const ALONE = { exec: "1", cgroup: "1" };
const SHARED = { exec: "0", cgroup: "0" };
const ALL = { exec: "0-1", cgroup: "0-1" };

describe("a real node, where the driver is killed", function () {
  this.timeout(240_000);
  const { node, pair } = world;

  const killDriver = async (): Promise<void> => {
    pair.driver?.signal("SIGKILL");
    await pair.driver?.exited;
  };
  /** By what processes in the containers read and by the cgroup files, without the API server. */
  const masks = async (claimed: Place, shared: Place): Promise<void> => {
    expect(await world.seenByRuntime(claimed)).to.deep.equal(ALONE);
    expect(allowedOf(claimed.pid), "mask of the process that ran all the time").to.equal("1");
    expect(await world.seenByRuntime(shared)).to.deep.equal(SHARED);
    expect(allowedOf(shared.pid), "mask of the process that ran all the time").to.equal("0");
  };
  const isBack = async (shared: Place): Promise<void> => {
    await until("the CPU is back", () => allowedOf(shared.pid) === "0-1", 20_000);
    expect(await world.seenByRuntime(shared)).to.deep.equal(ALL);
  };
  const confirmed = (): Promise<boolean> =>
    until(
      "the agent is confirmed by the new driver",
      async () => (await pair.state<{ truth: string }>()).truth === "TRUTH_CONFIRMED",
      20_000,
    );

  it("nothing moves, also without an API server, and Unprepare works there", async () => {
    await world.createPod({
      name: "claimed",
      template: "one",
      grace: 90,
      containers: [{ claims: [{ name: "cpus" }], command: STUBBORN }],
    });
    await world.createPod({ name: "shared" });
    await world.running("claimed");
    await world.running("shared");
    const [claimed, shared] = [await world.place("claimed"), await world.place("shared")];
    await masks(claimed, shared);
    await killDriver();
    await masks(claimed, shared);
    // The kubelet learns of the deletion while there is an API server, and unprepares when there is none.
    await node.kubectl("delete", "pod", "claimed", "--wait=false");
    await until("the container was told to end", async () =>
      (await node.kubectl("logs", "claimed")).includes("TERM came"),
    );
    node.daemon("kube-apiserver").signal("SIGKILL");
    await node.daemon("kube-apiserver").exited;
    pair.startDriver();
    await confirmed();
    await masks(claimed, shared);
    const { pool } = await pair.state<{ pool: { held: string; shared: string } }>();
    expect(pool).to.deep.include({ held: "1", shared: "0" });
    process.kill(claimed.pid, "SIGKILL");
    await until("it is unprepared", () => world.driverLog().some((line) => line.includes("end: unprepare")));
    expect(isThere(claimed.pid)).to.equal(false);
    await isBack(shared);
    expect(readdirSync(node.cdiDir)).to.deep.equal([]);
    node.startApiServer();
    await node.apiReady();
    for (const name of ["kube-scheduler", "kube-controller-manager"]) await node.daemon(name).stop();
    node.startControllers();
    await pair.ready();
    await world.remove("claimed");
  });

  it("in the middle of a Prepare: the pod starts, on the CPUs that were reserved", async () => {
    await world.createPod({ name: "shared" });
    await world.running("shared");
    const shared = await world.place("shared");
    // The agent stands still, so Prepare waits after it has reserved and written; no container starts or stops meanwhile.
    pair.agent?.signal("SIGSTOP");
    await world.createPod({ name: "claimed", template: "one" });
    await world.nothingRuns("claimed", async () => {
      await until("the claim's CDI file is written", () => readdirSync(node.cdiDir).length === 1, 20_000, 5);
      await killDriver();
      const uid = await world.claimUid();
      expect(world.driverLog().filter((line) => line.includes("end: prepare") && line.includes(uid))).to.deep.equal([]);
      pair.startDriver();
      await until("the driver is up", () => world.driverLog().some((line) => line.includes("NRI agent")), 20_000);
    });
    pair.agent?.signal("SIGCONT");
    await world.running("claimed", 60_000);
    expect(await world.seen("claimed")).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
    expect(await world.seenByRuntime(shared)).to.deep.equal(SHARED);
  });

  it("in the middle of an Unprepare: the CPUs are nobody's until it was brought to its end, then the next claim's", async () => {
    await world.createPod({ name: "shared" });
    await world.running("shared");
    const shared = await world.place("shared");
    /** @returns whether the driver was killed before it had ended the Unprepare: on a machine that stands still just then, the agent is stopped too late. */
    const cut = async (): Promise<boolean> => {
      await world.createPod({ name: "claimed", template: "one" });
      await world.running("claimed");
      const claimed = await world.place("claimed");
      const uid = await world.claimUid();
      const begun = world.driverSays("begin: unprepare");
      await node.kubectl("delete", "pod", "claimed", "--wait=false");
      await until("the claim's process is gone", () => !isThere(claimed.pid), 20_000, 2);
      // The agent stands still, so Unprepare waits for it after it has written.
      pair.agent?.signal("SIGSTOP");
      await begun;
      await until("the claim's CDI file is gone", () => readdirSync(node.cdiDir).length === 0, 20_000, 2);
      await killDriver();
      return !world.driverLog().some((line) => line.includes("end: unprepare") && line.includes(uid));
    };
    for (let tries = 1; !(await cut()); tries++) {
      expect(tries, "Unprepare was over each time").to.be.below(3);
      pair.agent?.signal("SIGCONT");
      pair.startDriver();
      await confirmed();
      await world.remove("claimed");
    }
    expect(await world.seenByRuntime(shared)).to.deep.equal(SHARED);
    pair.startDriver();
    await world.createPod({ name: "heir", template: "one" });
    pair.agent?.signal("SIGCONT");
    await world.running("heir", 90_000);
    expect(await world.seen("heir")).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
    expect(await world.seenByRuntime(shared)).to.deep.equal(SHARED);
    await world.remove("claimed", "heir");
    await isBack(shared);
  });

  it("together with the agent, and the runtime restarted: the claim keeps its CPUs", async () => {
    await world.createPod({ name: "claimed", template: "one" });
    await world.createPod({ name: "shared" });
    await world.running("claimed");
    await world.running("shared");
    const [claimed, shared] = [await world.place("claimed"), await world.place("shared")];
    pair.agent?.signal("SIGKILL");
    pair.driver?.signal("SIGKILL");
    await node.daemon("containerd").stop();
    node.startContainerd();
    await node.containerdReady();
    await world.createPod({ name: "intruder" });
    await world.running("intruder", 60_000);
    expect(await world.seen("intruder")).to.deep.include({ exec: "0-1", first: "0-1" });
    await masks(claimed, shared);
    pair.startAgent();
    const intruder = await world.place("intruder");
    await until("the intruder is off the claim's CPU", () => allowedOf(intruder.pid) === "0", 20_000);
    expect(await world.seenByRuntime(intruder)).to.deep.equal(SHARED);
    pair.startDriver();
    await pair.ready();
    await masks(claimed, shared);
    const { counters } = await pair.state<{ counters: { escapes: string; repairs: string } }>();
    expect(Number(counters.escapes)).to.equal(1);
    expect(Number(counters.repairs)).to.equal(1);
  });
});
