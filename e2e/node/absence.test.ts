import { readdirSync } from "node:fs";
import { expect } from "chai";
import { until, World } from "./world.ts";

const GATE = "container-not-pinned-because-the-nri-agent-was-away";

describe("a real node, while one of the two is away", function () {
  this.timeout(240_000);
  const world = new World();
  const { node, pair } = world;
  before(() => world.start());
  after(() => world.stop());
  afterEach(async function () {
    if (this.currentTest?.state === "failed") {
      console.log(await node.kubectl("get", "events"));
      console.log(await node.run("tail", ["-n", "20", pair.agent?.log ?? "", pair.driver?.log ?? ""]));
    }
    await pair.revive();
    await world.removeAll();
  });

  /** The kubelet tries again with back-off; how often it took is none of our business. */
  const startsByItself = async (pod: string): Promise<void> => {
    await world.running(pod, 90_000);
    expect((await world.seen(pod)).exec).to.equal("1");
    expect((await world.seen(pod)).first).to.equal("1");
    expect(await node.kubectl("exec", pod, "--", "cat", "/proc/self/mountinfo")).not.to.include("/run/dra-driver-cpu");
  };

  it("gate: agent killed between Prepare and Create", async () => {
    const prepared = world.driverSays("end: prepare");
    await world.createPod({ name: "gated-1", template: "one" });
    await prepared;
    pair.agent?.signal("SIGKILL");
    await world.event("gated-1", GATE);
    pair.startAgent();
    await startsByItself("gated-1");
  });

  it("gate: agent stopped past the runtime's limit", async () => {
    const prepared = world.driverSays("end: prepare");
    await world.createPod({ name: "gated-2", template: "one" });
    await prepared;
    pair.agent?.signal("SIGSTOP");
    await world.event("gated-2", GATE);
    pair.agent?.signal("SIGCONT");
    await startsByItself("gated-2");
  });

  it("gate: agent killed before a restart of the claim's container", async () => {
    await world.createPod({ name: "gated-3", template: "one" });
    await world.running("gated-3");
    pair.agent?.signal("SIGKILL");
    await pair.agent?.exited;
    process.kill(await world.firstPid("gated-3"), "SIGKILL");
    await world.event("gated-3", GATE);
    pair.startAgent();
    await startsByItself("gated-3");
  });

  it("agent away: a new claim's pod waits and says why, and starts when the agent is back", async () => {
    await pair.agent?.stop();
    await world.createPod({ name: "waits-4", template: "one" });
    const text = await world.event("waits-4", "the NRI agent", 70_000);
    expect(text).to.include("Failed to prepare dynamic resources").and.include("The kubelet tries again");
    pair.startAgent();
    await startsByItself("waits-4");
  });

  it("driver killed and restarted, also without an API server: nothing moves, and Unprepare works", async () => {
    await world.createPod({ name: "claimed-5", template: "one" });
    await world.createPod({ name: "shared-5" });
    await world.running("claimed-5");
    await world.running("shared-5");
    const masks = async (): Promise<string[]> =>
      Promise.all(["claimed-5", "shared-5"].map((pod) => world.cgroupFile(pod, "cpuset", "cpuset.cpus")));
    expect(await masks()).to.deep.equal(["1", "0"]);
    const claimedMask = await world.cgroupFile("claimed-5", "cpuset", "cpuset.cpus");
    expect(claimedMask).to.equal("1");
    const pid = await world.firstPid("shared-5");
    const allowed = async (): Promise<string> =>
      /Cpus_allowed_list:\s*(\S+)/.exec(await node.run("cat", [`/proc/${pid}/status`]))?.[1] ?? "";
    pair.driver?.signal("SIGKILL");
    await pair.driver?.exited;
    expect(await allowed()).to.equal("0");
    await node.daemon("kube-apiserver").stop();
    pair.startDriver();
    await until(
      "the driver has registered",
      async () =>
        (await pair.probe(8080, "readyz")).includes("ResourceSlices") ||
        (await pair.probe(8080, "readyz")).includes("published"),
      20_000,
      200,
    );
    await until(
      "the agent is confirmed by the new driver",
      async () => (await pair.state<{ truth: string; held: { epoch: string } }>()).truth === "TRUTH_CONFIRMED",
    );
    expect(await allowed()).to.equal("0");
    const { pool } = await pair.state<{ pool: { held: string; shared: string } }>();
    expect(pool).to.deep.include({ held: "1", shared: "0" });
    node.startApiServer();
    await node.apiReady();
    await pair.ready();
    pair.driver?.signal("SIGKILL");
    await pair.driver?.exited;
    pair.startDriver();
    await world.remove("claimed-5");
    await until("the CPU is back", async () => (await allowed()) === "0-1", 20_000);
    expect(readdirSync(node.cdiDir)).to.deep.equal([]);
  });

  it("agent and driver killed together, and the runtime restarted: the claim keeps its CPUs", async () => {
    await world.createPod({ name: "claimed-6", template: "one" });
    await world.createPod({ name: "shared-6" });
    await world.running("claimed-6");
    await world.running("shared-6");
    pair.agent?.signal("SIGKILL");
    pair.driver?.signal("SIGKILL");
    await node.daemon("containerd").stop();
    node.startContainerd();
    await node.containerdReady();
    await world.createPod({ name: "intruder-6" });
    await world.running("intruder-6", 60_000);
    expect((await world.seen("intruder-6")).exec).to.equal("0-1");
    pair.startAgent();
    await until(
      "the intruder is off the claim's CPU",
      async () => (await world.seen("intruder-6")).exec === "0",
      20_000,
    );
    pair.startDriver();
    await pair.ready();
    expect((await world.seen("claimed-6")).exec).to.equal("1");
    expect((await world.seen("shared-6")).exec).to.equal("0");
    const { counters } = await pair.state<{ counters: { escapes: string; repairs: string } }>();
    expect(Number(counters.escapes)).to.equal(1);
    expect(Number(counters.repairs)).to.equal(1);
  });
});
