import { expect } from "chai";
import { leftovers } from "../kit/node/leftovers.ts";
import { untouched } from "./untouched.ts";

// Runs last.
describe("runtimes and guests that were stopped", () => {
  it("leave nothing behind: processes, mounts, network, cgroups, files", () => {
    expect(leftovers(untouched)).to.deep.equal([]);
  });
});
