import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { PrepareOutcome } from "@dracpu/driver/prepare/ports.ts";
import { expect } from "chai";
import { DriverWorld, uidOf } from "../kit/driverworld.ts";
import { TestAgent } from "../kit/enforcer.ts";

describe("the driver, with an agent", () => {
  let world: DriverWorld;
  beforeEach(async () => {
    world = new DriverWorld();
    await world.serve();
  });
  afterEach(() => world.end());
  const message = (outcome: PrepareOutcome | undefined): string =>
    outcome?.kind === "refused" ? outcome.message : `prepared`;

  it("prepares a claim: checkpoint, CDI file and agent say the same, and the kubelet gets the same twice", async () => {
    world.claim("a", "2");
    const first = await world.prepare("a");
    expect(first).to.deep.equal({
      kind: "prepared",
      devices: [
        {
          requestNames: ["cpus"],
          pool: "n",
          device: "cpudevnuma000",
          cdiDeviceIds: [`dra.k8s.io/cpu=claim-${uidOf("a")}-cpus`],
          shareId: "s",
        },
      ],
    });
    expect(await world.prepare("a")).to.deep.equal(first);
    expect(world.served, "told once").to.deep.equal(["a"]);
    const loaded = await world.file.load();
    expect(
      loaded.kind === "memory" && loaded.memory.entries.map((one) => one.shares[0]?.cpus.toString()),
    ).to.deep.equal(["1-2"]);
    expect(await world.cdi.list()).to.deep.equal([uidOf("a")]);
    expect(world.held()).to.equal("1-2");
  });

  it("gives no CPU to two of many claims that come at once, and releases all", async () => {
    const names = ["a", "b", "c", "d", "e", "f", "g"];
    for (const name of names) world.claim(name, "1");
    const outcomes = await Promise.all(names.map((name) => world.prepare(name)));
    expect(outcomes.map(message)).to.deep.equal(names.map(() => "prepared"));
    expect(world.held()).to.equal("1-7");
    expect(new Set(world.ledger.entries().map((one) => one.shares[0]?.cpus.toString())).size).to.equal(7);
    await Promise.all(names.map((name) => world.unprepare(name)));
    for (let n = 0; n < 100 && world.ledger.entries().length > 0; n++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(world.ledger.entries()).to.deep.equal([]);
    expect(world.held()).to.equal("");
    expect(await world.cdi.list()).to.deep.equal([]);
  });

  it("waits for a release that is on its way, first come first, and refuses at its bound, naming the holders", async () => {
    world.claim("big", "6");
    world.claim("first", "4");
    world.claim("second", "1");
    await world.prepare("big");
    const order: string[] = [];
    const first = world.prepare("first").then((outcome) => order.push(`first ${message(outcome)}`));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const second = world.prepare("second").then((outcome) => order.push(`second ${message(outcome)}`));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(order, "one CPU is free, but whoever came first comes first").to.deep.equal([]);
    await world.unprepare("big");
    await Promise.all([first, second]);
    expect(order.sort()).to.deep.equal(["first prepared", "second prepared"]);
    const { allocations } = await world.cdi.remembered();
    const written = new Map(
      allocations.map(({ claim, shares }) => [claim.uid, shares.map((one) => one.cpus.toString())]),
    );
    for (const { claim, shares } of world.ledger.entries())
      expect(written.get(claim.uid), `the CDI file of ${claim.name}`).to.deep.equal(
        shares.map((one) => one.cpus.toString()),
      );
    world.claim("third", "3");
    const refused = message(await world.prepare("third", AbortSignal.timeout(300)));
    expect(refused)
      .to.include("3 CPUs are wanted and 2 are free")
      .and.include("default/first (CPUs")
      .and.include("claim default/third");
  });

  it("leaves a CPU to all others where some are reserved for them, and a claim of before still holds those", async () => {
    world.claim("old", "1");
    await world.prepare("old");
    expect(world.held()).to.equal("1");
    const { offer } = world;
    const candidates = new Map([["cpudevnuma000", CpuSet.parse("0,2-7")]]);
    world.offer = { ...offer, candidates, reserved: CpuSet.of(1), keepShared: CpuSet.empty };
    world.claim("all", "7");
    const refused = message(await world.prepare("all", AbortSignal.timeout(300)));
    expect(refused)
      .to.include("no CPU would be left for containers without a claim: CPUs 1")
      .and.include("CPUs are held by default/old (CPUs 1)");
    world.claim("most", "6");
    expect(message(await world.prepare("most"))).to.equal("prepared");
    await world.unprepare("most");
    // The operator may do without: then nothing is reserved and nothing kept.
    world.offer = { ...offer, candidates, keepShared: CpuSet.empty };
    expect(message(await world.prepare("all"))).to.equal("prepared");
  });

  it("refuses what is no claim, and a claim that was replaced", async () => {
    expect(message(await world.prepare("nobody"))).to.include("the API server has no such claim");
    world.claim("a", "1");
    const ref = { namespace: "default", name: "a", uid: "old" };
    expect(message((await world.preparer.prepare([ref], AbortSignal.timeout(1000))).get("old"))).to.include(
      "it was replaced",
    );
    expect(await world.unprepare("nobody")).to.deep.equal({ kind: "done" });
  });

  it("fails in a sentence while its disk is full, hands nothing out twice, and recovers without a restart", async () => {
    world.claim("a", "2");
    world.claim("b", "6");
    world.saveFails = "Cannot write checkpoint.json: the disk is full; free space on it";
    expect(message(await world.prepare("a"))).to.include("the disk is full");
    expect(await world.cdi.list()).to.deep.equal([]);
    world.saveFails = "";
    expect(message(await world.prepare("a"))).to.equal("prepared");
    world.saveFails = "Cannot write checkpoint.json: the disk is full; free space on it";
    expect(await world.unprepare("a")).to.have.property("kind", "failed");
    expect(world.held()).to.equal("1-2");
    world.saveFails = "";
    expect(await world.unprepare("a")).to.deep.equal({ kind: "done" });
    expect(message(await world.prepare("b"))).to.equal("prepared");
  });

  it("says that the agent is away, keeps the CPUs for the claim, and goes on where it was when the agent is back", async () => {
    world.claim("a", "2");
    await world.agentGone();
    expect(message(await world.prepare("a", AbortSignal.timeout(600)))).to.include("the NRI agent is not running");
    expect(world.ledger.held().toString()).to.equal("1-2");
    expect(world.served).to.deep.equal([]);
    await world.serve(new TestAgent());
    expect(message(await world.prepare("a"))).to.equal("prepared");
    expect(world.served, "told of a claim whose first call failed").to.deep.equal(["a"]);
    expect(world.held()).to.equal("1-2");
  });

  it("tells of a claim whose first call failed, though the API server is away at the second", async () => {
    world.claim("a", "2");
    await world.agentGone();
    expect(message(await world.prepare("a", AbortSignal.timeout(600)))).to.include("the NRI agent is not running");
    world.readFails = Object.assign(new Error("the API server does not answer"), { isTransient: true });
    await world.serve(new TestAgent());
    expect(message(await world.prepare("a"))).to.equal("prepared");
    expect(world.served).to.deep.equal(["a"]);
  });

  it("releases with the agent away, and frees the CPUs only when the agent has said that nobody lives on them", async () => {
    world.claim("a", "2");
    await world.prepare("a");
    await world.agentGone();
    expect(await world.unprepare("a")).to.deep.equal({ kind: "done" });
    expect(world.ledger.held().toString()).to.equal("1-2");
    await world.serve(new TestAgent(world.agent.saved.at(-1)));
    for (let n = 0; n < 300 && world.ledger.entries().length > 0; n++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(world.ledger.held().toString()).to.equal("");
  });

  it("tells another agent everything again", async () => {
    world.claim("a", "2");
    world.claim("b", "1");
    await world.prepare("a");
    await world.agentGone();
    await world.serve(new TestAgent());
    expect(message(await world.prepare("b"))).to.equal("prepared");
    expect(world.held()).to.equal("1-3");
  });
});
