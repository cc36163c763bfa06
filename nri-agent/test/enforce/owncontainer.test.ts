import { expect } from "chai";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { CgroupFault } from "../../src/enforce/ports.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";

// cgroup2 mounted with nsdelegate: the agent's own container is the root of its cgroup namespace.
describe("the agent's own container, whose cgroup the agent may not write", () => {
  for (const canUpdate of [true, false]) {
    it(`is moved by the runtime, ${canUpdate ? "by updates" : "by replies"}, and holds up no claim`, async () => {
      const node = await PlayedNode.up({ lever: "file", canUpdate });
      const own = await node.run("own", "nri-agent");
      const write = node.hand.write.bind(node.hand);
      node.hand.write = (path, cpus) => {
        if (path === own.cgroup) throw new CgroupFault("denied", `Cannot write ${path}: EPERM`);
        write(path, cpus);
      };
      const claim = await node.claim({ cpus: "4-5" }, ["p"]);
      await node.clock.pass(1000);
      // Without updates masks ride on the reply to somebody's hook.
      if (!canUpdate) await node.run("s", "s1");
      await node.clock.pass(6000);
      expect(node.kernel.effective(own.cgroup).toString()).to.equal("0-3,6-15");
      expect((await node.progress(claim)).progress).to.equal(Progress.ENFORCED);
      const x = await node.run("p", "x", claim);
      expect(node.kernel.effective(x.cgroup).toString()).to.equal("4-5");
    });
  }
});
