import { expect } from "chai";
import { leftovers } from "../kit/node/leftovers.ts";
import { Logs } from "./logs.ts";
import { untouched, world } from "./suite.ts";

// Runs last: it takes the node down.
describe("a real node that was stopped", function () {
  this.timeout(60_000);

  it("has logs of JSON lines in one vocabulary, whose operations have an end, and are the same in both programs", () => {
    const logs = new Logs(world.node.dir);
    console.log(
      `      ${logs.lines} lines of ${logs.lives} lives of both programs, ${logs.operations.size} operations`,
    );
    expect(logs.lines).to.be.above(100);
    expect(logs.broken, "no JSON, or without level, time, program and msg").to.deep.equal([]);
    expect([...logs.unknownFields].sort(), "fields outside of the vocabulary").to.deep.equal([]);
    expect(logs.unended, "begun and never ended, in lives that were ended in order").to.deep.equal([]);
    expect(
      [...logs.ofAgent].filter((id) => !logs.operations.has(id)),
      "operations of the agent alone",
    ).to.deep.equal([]);
    expect(logs.ofAgent.size).to.be.above(0);
  });

  it("leaves nothing behind: processes, mounts, network, cgroups, files", async () => {
    await world.stop();
    expect(leftovers(untouched, world.node)).to.deep.equal([]);
  });
});
