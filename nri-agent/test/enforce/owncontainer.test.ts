import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { CgroupFault } from "../../src/enforce/ports.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";

// cgroup2 mounted with nsdelegate: the agent's own container is the root of its cgroup namespace.
async function unwritable(node: PlayedNode): ReturnType<PlayedNode["run"]> {
  const own = await node.run("own", "nri-agent");
  const write = node.hand.write.bind(node.hand);
  node.hand.write = (path, cpus) => {
    if (path === own.cgroup) throw new CgroupFault("denied", `Cannot write ${path}: EPERM`);
    write(path, cpus);
  };
  return own;
}

describe("the agent's own container, whose cgroup the agent may not write", () => {
  for (const canUpdate of [true, false]) {
    it(`is moved by the runtime, ${canUpdate ? "by updates" : "by replies"}, and holds up no claim`, async () => {
      const node = await PlayedNode.up({ lever: "file", canUpdate });
      const own = await unwritable(node);
      const claim = await node.claim({ cpus: "4-5" }, ["p"]);
      await node.clock.pass(7000);
      // Without updates masks ride on the reply to somebody's hook, and nobody's comes on a quiet node before the claim's own.
      if (canUpdate) expect(node.kernel.effective(own.cgroup).toString()).to.equal("0-3,6-15");
      expect((await node.progress(claim)).progress).to.equal(Progress.ENFORCED);
      const x = await node.run("p", "x", claim);
      expect(x.first?.toString()).to.equal("4-5");
      expect(node.kernel.effective(own.cgroup).toString()).to.equal("0-3,6-15");
      expect(node.kernel.effective(x.cgroup).toString()).to.equal("4-5");
    });
  }

  it("is off a prepared claim before its container starts, so that a partition that fails refuses no start", async () => {
    const node = await PlayedNode.up();
    const own = await unwritable(node);
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    await node.clock.pass(1000);
    const pod = node.runtime.pod("p");
    node.kernel.mkdir(`${pod.cgroup}/other`);
    node.kernel.write(`${pod.cgroup}/other`, CpuSet.parse("0-15"));
    const x = await node.run(pod, "x", claim);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("member");
    expect(node.kernel.effective(x.cgroup).toString()).to.equal("4-5");
    expect(node.kernel.effective(own.cgroup).toString()).to.equal("0-3,6-15");
  });
});
