import { expect } from "chai";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";

describe("a claim that no container of its pod uses", () => {
  const told = (node: PlayedNode): string[] => node.state().problems.filter((text) => text.includes("used claim"));
  let node: PlayedNode;
  beforeEach(async () => {
    node = await PlayedNode.up({ lever: "file" });
  });

  it("is told once the pod has run for a minute, until one does", async () => {
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    await node.clock.pass(100_000);
    expect(told(node), "without a container nothing can be said").to.deep.equal([]);
    await node.run("p", "init");
    await node.clock.pass(50_000);
    await node.run("p", "plain");
    expect(told(node)).to.deep.equal([]);
    await node.clock.pass(11_000);
    expect(told(node)).to.deep.equal([
      `No container of pod default/p has used claim default/claim-0001, which is prepared for it, and 2 run without: none names it in resources.claims, or the one that does has not begun or had ended before this agent began`,
    ]);
    expect(node.state().problemCodes).to.include("DRACPU-215");
    await node.run("p", "x", claim);
    expect(told(node)).to.deep.equal([]);
  });

  it("may be the runtime's doing where that is too old to show devices", async () => {
    node.runtime.nriVersion = "0.8.0";
    node.runtime.disconnect(true);
    await node.connect();
    await node.claim({ cpus: "4-5" }, ["p"]);
    await node.run("p", "left-out");
    await node.clock.pass(61_000);
    expect(told(node).join("; ")).to.match(/before this agent began, or the runtime's CDI is off \(enable_cdi\)/);
  });

  it("is no matter where a container has used it, where the pod's are in their grace, and once it is released", async () => {
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    const used = await node.run("p", "x", claim);
    const other = await node.run("p", "plain");
    await node.end(used);
    await node.clock.pass(61_000);
    expect(told(node), "one has used it and has ended").to.deep.equal([]);

    const unused = await node.claim({ cpus: "6-7" }, ["q"]);
    const lone = await node.run("q", "plain-q");
    await node.clock.pass(61_000);
    expect(told(node)).to.have.lengthOf(1);
    node.runtime.stop(lone);
    await node.clock.pass(1000);
    expect(told(node)).to.deep.equal([]);
    await node.release(unused);
    await node.end(other);
    expect(told(node)).to.deep.equal([]);
  });
});
