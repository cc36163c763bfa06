import { expect } from "chai";
import { world } from "./suite.ts";
import { until } from "./world.ts";

const OWN = { exec: "1", first: "1", cgroup: "1" };

// The other tests shorten the kubelet's syncFrequency; with its default a failed Prepare is tried again only after more than a minute,
// which is why waiting is done inside the call.
describe("a real node whose kubelet has its default syncFrequency", function () {
  this.timeout(300_000);
  const { node, pair } = world;
  const restartKubelet = async (syncFrequency?: string): Promise<void> => {
    const registered = world.driverSays("registered");
    await node.daemon("kubelet").stop();
    node.startKubelet(syncFrequency);
    await registered;
    await pair.ready();
  };
  before(() => restartKubelet("1m0s"));
  after(() => restartKubelet());

  const prepares = (): string[] => world.driverLog().filter((line) => line.includes("begin: prepare"));

  it("starts a pod within the one Prepare that found no agent, as soon as the agent is back", async () => {
    pair.agent?.signal("SIGKILL");
    await pair.agent?.exited;
    const had = prepares().length;
    const begun = world.driverSays("begin: prepare");
    await world.createPod({ name: "waits", template: "one" });
    await begun;
    await world.nothingRuns("waits", () => new Promise((resolve) => setTimeout(resolve, 5000)));
    const ended = world.driverSays("end: prepare");
    const back = Date.now();
    pair.startAgent();
    await ended;
    const prepared = Date.now() - back;
    await world.running("waits");
    console.log(`      prepared ${prepared} ms after the agent was started, running after ${Date.now() - back} ms`);
    expect(prepares().length - had).to.equal(1);
    expect(Date.now() - back).to.be.below(30_000);
    expect(await world.seen("waits")).to.deep.equal(OWN);
  });

  it("comes back by itself to a Prepare that failed, after more than a minute", async function () {
    if (process.env["DRACPU_FULL"] === undefined) {
      console.log("      skipped: it takes two minutes; npm run test:node -- --full");
      this.skip();
    }
    await pair.agent?.stop();
    const begun = world.driverSays("begin: prepare");
    await world.createPod({ name: "comes-back", template: "one" });
    await begun;
    const failed = await world.nothingRuns("comes-back", () => world.driverSays("end: prepare", 60_000));
    expect(failed).to.include("The kubelet tries again by itself");
    const again = world.driverSays("begin: prepare", 120_000);
    const since = Date.now();
    pair.startAgent();
    await again;
    console.log(`      the kubelet came back after ${((Date.now() - since) / 1000).toFixed(1)} s`);
    await until("it runs", async () => (await world.status("comes-back")).status.phase === "Running", 30_000);
    expect(await world.seen("comes-back")).to.deep.equal(OWN);
  });
});
