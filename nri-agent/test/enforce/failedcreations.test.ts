import { expect } from "chai";
import { FailedCreations } from "../../src/enforce/failedcreations.ts";
import { ManualClock } from "../../../e2e/kit/manualclock.ts";

describe("creations that fail after the agent's answer", () => {
  const ref = (id: string, name = "c") => ({ id, name, podUid: "u", podNamespace: "ns", podName: "p" });
  const fails = (failed: FailedCreations, id: string, name?: string): string => {
    failed.answered(ref(id, name));
    return failed.ended(ref(id, name));
  };

  it("are told of once, at the third of a container, and forgotten some time after the last", async () => {
    const clock = new ManualClock();
    const failed = new FailedCreations(clock);
    expect([fails(failed, "1"), fails(failed, "2")]).to.deep.equal(["", ""]);
    expect(failed.findings()).to.deep.equal([]);
    expect(fails(failed, "3")).to.include("container c of pod ns/p, 3 times");
    expect(fails(failed, "4")).to.equal("");
    expect(failed.findings().map(({ code }) => code.id)).to.deep.equal(["DRACPU-317"]);
    await clock.pass(301_000);
    expect(failed.findings()).to.deep.equal([]);
  });
  it("are no more once the container is made, and one that was made does not count when it ends", () => {
    const failed = new FailedCreations(new ManualClock());
    for (const id of ["1", "2", "3"]) fails(failed, id);
    failed.answered(ref("4"));
    failed.made(ref("4"));
    expect(failed.findings()).to.deep.equal([]);
    expect(failed.ended(ref("4"))).to.equal("");
  });
  it("go on being counted for whom they are known, however many others fail", () => {
    const failed = new FailedCreations(new ManualClock());
    fails(failed, "a", "first");
    for (let n = 0; n < 400; n++) fails(failed, `x${n}`, `c${n}`);
    fails(failed, "b", "first");
    expect(fails(failed, "d", "first")).to.include("container first");
  });
});
