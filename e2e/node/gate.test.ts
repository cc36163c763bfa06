import { expect } from "chai";
import { world } from "./suite.ts";

const GATE = "container-not-pinned-because-the-nri-agent-was-away";

describe("a real node, while the agent is away", function () {
  this.timeout(240_000);
  const { node, pair } = world;

  /** Nothing of the pod runs until its Event says why, nor in the second after that; with the agent `back` it starts, on its CPUs. */
  const startsOnlyWith = async (name: string, event: string, back: () => void, ms?: number): Promise<string> => {
    const text = await world.nothingRuns(name, async () => {
      const said = await world.event(name, event, ms);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      return said;
    });
    const since = Date.now();
    back();
    // The kubelet tries again with back-off; how often it took is none of our business.
    await world.running(name, 90_000);
    expect(await world.seen(name)).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
    expect(await node.kubectl("exec", name, "--", "cat", "/proc/self/mountinfo")).not.to.include("/run/dra-driver-cpu");
    const started = (await world.status(name)).status.containerStatuses?.[0]?.state.running?.startedAt ?? "";
    // Whole seconds.
    expect(Date.parse(started) + 999).to.be.at.least(since);
    return text;
  };

  it("gate: agent killed between Prepare and Create", async () => {
    const prepared = world.driverSays("end: prepare");
    await world.createPod({ name: "gated-1", template: "one" });
    await prepared;
    pair.agent?.signal("SIGKILL");
    await startsOnlyWith("gated-1", GATE, () => pair.startAgent());
  });

  it("gate: agent stopped past the runtime's limit", async () => {
    const prepared = world.driverSays("end: prepare");
    await world.createPod({ name: "gated-2", template: "one" });
    await prepared;
    pair.agent?.signal("SIGSTOP");
    await startsOnlyWith("gated-2", GATE, () => pair.agent?.signal("SIGCONT"));
  });

  it("gate: agent killed before a restart of the claim's container", async () => {
    await world.createPod({ name: "gated-3", template: "one" });
    await world.running("gated-3");
    pair.agent?.signal("SIGKILL");
    await pair.agent?.exited;
    await world.killFirstProcess("gated-3");
    await startsOnlyWith("gated-3", GATE, () => pair.startAgent());
    expect((await world.status("gated-3")).status.containerStatuses?.[0]?.restartCount).to.be.at.least(1);
  });

  it("a new claim's pod waits and says why, and starts when the agent is back", async () => {
    await pair.agent?.stop();
    await world.createPod({ name: "waits-4", template: "one" });
    const text = await startsOnlyWith("waits-4", "the NRI agent", () => pair.startAgent(), 70_000);
    expect(text).to.include("Failed to prepare dynamic resources").and.include("The kubelet tries again");
  });
});
