import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { template } from "./objects.ts";
import { world } from "./suite.ts";
import { SLOW, type NodeName } from "./world.ts";

/** 8 CPUs on one socket, one L3 cache and no second threads; its kernel has no partitions that a container can be, so it is done by masks. */
const SMALL = { smp: "8,sockets=1,dies=1,cores=8,threads=1", numa: ["0-7"], memoryMB: 2048 };
const smt = (on: boolean): string => `device.attributes["dra.cpu"].smtEnabled == ${String(on)}`;

// By machine: the large node has a device of 15 CPUs, the small one has one of 7.
describe("a second node of another shape", function () {
  this.timeout(3 * SLOW);
  this.bail(true);

  before(async () => {
    await world.large();
    await world.settings("groupBy=machine");
    await world.join("small", { kernel: "6.1", shape: SMALL });
  });

  it("offers what it has, as soon as it has joined", async () => {
    const devices = await world.devicesBecome("small", (all) => all.length > 0);
    expect(devices.map((one) => one.attributes["dra.cpu/cpus"]?.string)).to.deep.equal(["1-7"]);
    expect(devices[0]?.attributes["dra.cpu/smtEnabled"]).to.deep.equal({ bool: false });
  });

  for (const [name, wanted, node] of [
    ["no-siblings", { cpus: 2, selector: smt(false) }, "small"],
    ["eleven", { cpus: 11 }, "large"],
    ["four", { cpus: 4, selector: smt(true) }, "large"],
    ["five", { cpus: 5 }, "small"],
  ] as const) {
    it(`gets the claim ${name} on ${node}, where alone it fits`, async () => {
      await world.cluster.apply(template(name, wanted));
      await world.createPods([name], name);
      const cpus = CpuSet.parse((await world.firsts([name])).get(name) ?? "");
      expect(cpus.size).to.equal(wanted.cpus);
      expect(await world.nodeOf(name)).to.equal(node);
      await both();
    });
  }

  it("is full when the other one is", async () => {
    await world.cluster.apply(template("one-more", { cpus: 1 }));
    await world.createPods(["one-more"], "one-more");
    expect(await world.whyPending("one-more")).to.include("0/2 nodes are available");
    const found = await both();
    expect(found.map(({ held }) => held.toString())).to.deep.equal(["1-15", "1-7"]);
    await world.remove("five");
    await world.firsts(["one-more"]);
    expect(await world.nodeOf("one-more")).to.equal("small");
    await both();
  });

  it("leaves nothing when claims go", async () => {
    await world.remove("no-siblings", "eleven", "four", "one-more");
    await world.empty();
  });

  const both = (): Promise<Awaited<ReturnType<typeof world.settled>>[]> =>
    Promise.all((["large", "small"] satisfies NodeName[]).map((node) => world.settled(node)));
});
