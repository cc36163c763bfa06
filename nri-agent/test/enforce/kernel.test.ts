import { expect } from "chai";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";
import { broken, leftovers } from "../../../e2e/kit/playedpromises.ts";

describe("the kernel lever", () => {
  it("gives a claim's container its CPUs at its start, without an update to anybody, and takes nothing before", async () => {
    const node = await PlayedNode.up();
    const s = await node.run("s", "s1");
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    expect((await node.progress(claim)).progress).to.equal(Progress.ENFORCED);
    expect(node.kernel.effective(s.cgroup).toString(), "lent out until the start").to.equal("0-15");
    const writes = node.hand.writes.length;
    const x = await node.run("p", "x", claim);
    expect(x.first?.toString()).to.equal("4-5");
    expect(node.kernel.effective(s.cgroup).toString()).to.equal("0-3,6-15");
    expect(node.kernel.effective("").toString(), "host processes").to.equal("0-3,6-15");
    expect(node.hand.writes.slice(writes).filter((write) => write.includes(s.cgroup))).to.deep.equal([]);
    expect(broken(node, "settled")).to.deep.equal([]);
    await node.end(x);
    expect(node.kernel.effective(s.cgroup).toString()).to.equal("0-15");
    expect(leftovers(node)).to.deep.equal([]);
  });
});
