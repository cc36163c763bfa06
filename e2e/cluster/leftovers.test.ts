import { expect } from "chai";
import { leftovers } from "../kit/node/leftovers.ts";
import { untouched, world } from "./suite.ts";

// Runs last: it takes the node down.
describe("the node of the end-to-end suite, when it was stopped", function () {
  this.timeout(60_000);

  it("leaves nothing behind: processes, mounts, network, cgroups, files", async () => {
    await world.stop();
    expect(leftovers(untouched, world.node)).to.deep.equal([]);
  });
});
