import { expect } from "chai";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";

describe("a node where nothing happens, with a runtime that takes masks by its replies only", () => {
  it("holds up no claim for masks that its last reply named", async () => {
    const node = await PlayedNode.up({ lever: "runtime" });
    await node.run("s", "s1");
    const q = await node.run("q", "q");
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    const x = await node.run("p", "x", claim);
    await node.end(x);
    await node.release(claim);
    await node.forget(claim);
    await node.clock.pass(3000);
    node.runtime.stop(q);
    await node.clock.pass(3000);
    const again = await node.claim({ cpus: "4-5" }, ["p"]);
    await node.clock.pass(3000);
    const { progress, why } = await node.progress(again);
    expect([progress, why]).to.deep.equal([Progress.ENFORCED, ""]);
  });
});
