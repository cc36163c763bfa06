import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { CgroupFault } from "../../src/enforce/ports.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";

describe("containers that may use more CPUs again", () => {
  const masksOf = (node: PlayedNode): string[] => [
    ...new Set([...node.runtime.containers.values()].map((one) => node.kernel.effective(one.cgroup).toString())),
  ];
  /** Ten containers beside a claim on CPUs 4-5; each write takes a slice of time. */
  const crowd = async (): Promise<PlayedNode> => {
    const node = await PlayedNode.up({ lever: "file" });
    for (let n = 0; n < 10; n++) await node.run("s", `s${n}`);
    await node.claim({ cpus: "4-5" }, ["p"]);
    expect(masksOf(node)).to.deep.equal(["0-3,6-15"]);
    node.hand.onWrite = () => node.clock.work(2);
    return node;
  };

  it("have them a second after a claim that ends while others are moved for another claim", async () => {
    const node = await crowd();
    const [first] = [...node.claims.values()];
    let writes = 0;
    node.hand.onWrite = () => {
      node.clock.work(2);
      writes += 1;
      if (writes === 5 && first !== undefined)
        void node.apply({ upserts: [{ ...first, state: "draining" }], base: 3n });
    };
    await node.claim({ cpus: "8-9" }, ["q"]);
    expect(masksOf(node), "some were moved before, some after").to.have.lengthOf(2);
    await node.clock.pass(1500);
    expect(masksOf(node)).to.deep.equal(["0-7,10-15"]);
  });

  it("have none while the runtime's list is gone through, however long that takes", async () => {
    const node = await PlayedNode.up();
    for (let n = 0; n < 10; n++) await node.run("s", `s${n}`);
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    for (const name of ["x", "y"]) await node.run("p", name, claim);
    await node.run("p", "plain");
    expect(masksOf(node), "held by masks: who has no claim is in the claim's pod").to.have.members(["0-3,6-15", "4-5"]);
    node.kill();
    node.enforcer = node.newLife();
    node.enforcer.start();
    let reads = 0;
    node.hand.onRead = () => {
      reads += 1;
      if (reads === 3) void node.replace();
      if (reads <= 12) node.clock.work(400);
    };
    await node.connect();
    await node.clock.pass(5000);
    expect(reads).to.be.at.least(12);
    expect(masksOf(node)).to.have.members(["0-3,6-15", "4-5"]);
    expect(node.hand.writes.filter((write) => write.endsWith("=0-15"))).to.deep.equal([]);
  });

  it("have them soon after the kernel has refused once", async () => {
    const node = await crowd();
    const [first] = [...node.claims.values()];
    const write = node.hand.write.bind(node.hand);
    let refusals = 0;
    node.hand.write = (path, cpus) => {
      if (refusals++ < 10) throw new CgroupFault("refused", `Cannot write ${path}: EINVAL`);
      write(path, cpus);
    };
    if (first !== undefined) await node.release(first);
    await node.clock.pass(8000);
    expect(masksOf(node)).to.deep.equal(["0-15"]);
  });

  it("are written by the agent before the runtime is told, also where its telling of the shrink comes due first", async () => {
    const node = await PlayedNode.up({ lever: "file", canUpdate: true });
    const s0 = await node.run("s", "s0");
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    // The shrink is told after five seconds, and finds then what somebody else has set: so there is more to tell a moment later.
    await node.clock.pass(4990);
    node.kernel.write(s0.cgroup, CpuSet.parse("0-15"));
    await node.clock.pass(20);
    await node.release(claim);
    await node.clock.pass(12_000);
    expect(masksOf(node)).to.deep.equal(["0-15"]);
    expect(node.hand.writes.filter((write) => write.endsWith("=0-15"))).to.have.lengthOf(1);
    expect([...node.runtime.containers.values()].map(({ stored }) => stored)).to.deep.equal(["0-15"]);
  });
});
