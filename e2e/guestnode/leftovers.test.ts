import { expect } from "chai";
import { leftovers } from "../kit/node/leftovers.ts";
import { untouched, world } from "./suite.ts";

// Runs last: it takes the cluster and its guests down.
describe("guests and their cluster that were stopped", function () {
  this.timeout(60_000);

  it("leave nothing behind: processes, mounts, network, cgroups, files", async () => {
    await world.stop();
    expect(leftovers(untouched, world.cluster)).to.deep.equal([]);
  });
});
