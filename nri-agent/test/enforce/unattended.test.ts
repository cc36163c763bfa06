import { expect } from "chai";
import { CgroupFault } from "@dracpu/nri-agent/enforce/ports.ts";
import { cdiOf } from "../../../e2e/kit/playeddriver.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";
import { broken, leftovers } from "../../../e2e/kit/playedpromises.ts";
import type { PlayedContainer } from "../../../e2e/kit/playedruntime.ts";

const on = (node: PlayedNode, one: PlayedContainer): string => node.kernel.effective(one.cgroup).toString();

describe("a claim's container that was created, and is started while no agent is there", () => {
  let node: PlayedNode;
  let s: PlayedContainer;

  beforeEach(async () => {
    node = await PlayedNode.up();
    s = await node.run("s", "s1");
  });

  const refuseLists = (): void => {
    node.hand.onWrite = (write) => {
      if (write === "cpuset.cpus.exclusive /kubepods/besteffort=4-5")
        throw new CgroupFault("refused", "Cannot write to cgroup /kubepods/besteffort: the kernel refuses it (EINVAL)");
    };
  };

  for (const isolated of [false, true]) {
    it(`is made a partition by the runtime${isolated ? ", and isolated" : ""}, which the next agent takes up`, async () => {
      const claim = await node.claim({ cpus: "4-5" }, ["p"], { isolated });
      const x = node.create("p", "x", claim);
      expect(on(node, s), "lent out until the start").to.equal("0-15");
      node.kill();
      await node.begin(x);
      expect([x.first?.toString(), on(node, s), node.kernel.effective("").toString()]).to.deep.equal([
        "4-5",
        "0-3,6-15",
        "0-3,6-15",
      ]);
      expect(node.kernel.readPartition(x.cgroup)).to.equal(isolated ? "isolated" : "root");
      await node.start();
      expect(node.hand.writes).to.deep.equal([`cpuset.cpus.exclusive ${x.cgroup}=4-5`]);
      expect(node.counts["escapes"] ?? 0).to.equal(0);
      await node.clock.pass(15_000);
      expect(broken(node, "settled")).to.deep.equal([]);
      await node.end(x);
      expect(leftovers(node)).to.deep.equal([]);
    });
  }

  it("is made one as well after a second agent has come and gone", async () => {
    const x = node.create("p", "x", await node.claim({ cpus: "4-5" }, ["p"]));
    node.kill();
    await node.start();
    node.kill();
    await node.begin(x);
    expect([x.first?.toString(), on(node, s)]).to.deep.equal(["4-5", "0-3,6-15"]);
    await node.start();
    await node.end(x);
    expect(leftovers(node)).to.deep.equal([]);
  });

  it("is alone by masks where the kernel refuses a partition", async () => {
    const pod = node.runtime.pod("p");
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    refuseLists();
    const x = node.create(pod, "x", claim);
    node.kill();
    await node.begin(x);
    expect([x.first?.toString(), on(node, s)]).to.deep.equal(["4-5", "0-3,6-15"]);
  });

  it("is refused at its creation where it asks for isolated CPUs that the kernel refuses", async () => {
    const claim = await node.claim({ cpus: "4-5" }, ["p"], { isolated: true });
    refuseLists();
    expect(() => node.create("p", "x", claim)).to.throw(/isolated CPUs, which only a cpuset partition gives/);
  });

  it("holds nothing any more when it was not started within two minutes", async () => {
    node.create("p", "x", await node.claim({ cpus: "4-5" }, ["p"]));
    expect(node.kernel.readExclusive("/kubepods/besteffort/podp")?.toString()).to.equal("4-5");
    await node.clock.pass(125_000);
    expect(leftovers(node)).to.deep.equal([]);
  });

  it("holds nothing any more after two minutes that a new session with the runtime cuts in two", async () => {
    node.create("p", "x", await node.claim({ cpus: "4-5" }, ["p"]));
    await node.clock.pass(100_000);
    node.runtime.disconnect(true);
    await node.connect();
    await node.clock.pass(30_000);
    expect(leftovers(node)).to.deep.equal([]);
  });

  it("holds nothing where the kernel's word failed its creation", async () => {
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    await node.run("p", "x", claim);
    const populated = node.hand.populated.bind(node.hand);
    node.hand.populated = () => {
      throw new CgroupFault("io", "Cannot read cgroup.events: EIO");
    };
    expect(() => node.create("p", "y", claim)).to.throw("EIO");
    node.hand.populated = populated;
    expect(node.state().containers.map((one) => one.ref?.id)).to.have.members(["s1", "x"]);
  });

  it("holds nothing any more when the next container of its name is created", async () => {
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    const pod = node.runtime.pod("p");
    node.runtime.create(pod, "x1", { cdi: cdiOf(claim), name: "x" });
    const again = node.runtime.create(pod, "x2", { cdi: cdiOf(claim), name: "x" });
    node.kill();
    await node.begin(again);
    expect([again.first?.toString(), on(node, s)]).to.deep.equal(["4-5", "0-3,6-15"]);
    expect(node.kernel.readPartition(again.cgroup)).to.equal("root");
  });
});
