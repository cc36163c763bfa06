import { expect } from "chai";
import { cdiOf, type PlayedClaim } from "../../../e2e/kit/playeddriver.ts";
import { PlayedNode, refusal } from "../../../e2e/kit/playednode.ts";
import { broken, leftovers } from "../../../e2e/kit/playedpromises.ts";
import type { PlayedContainer } from "../../../e2e/kit/playedruntime.ts";

const on = (node: PlayedNode, one: PlayedContainer): string => node.kernel.effective(one.cgroup).toString();

describe("an isolated claim", () => {
  let node: PlayedNode;
  let claim: PlayedClaim;
  beforeEach(async () => {
    node = await PlayedNode.up();
    claim = await node.claim({ cpus: "4-5" }, ["p"], { isolated: true });
  });

  it("keeps its isolation beside a container without a claim", async () => {
    const x = await node.run("p", "x", claim);
    const plain = await node.run("p", "plain");
    expect(node.kernel.readPartition(x.cgroup)).to.equal("isolated");
    expect(plain.first?.toString()).to.equal("0-3,6-15");
  });

  it("keeps it when a second container of its pod would need the pod, and others are there: that one is refused at creation", async () => {
    const x = await node.run("p", "x", claim);
    await node.run("p", "plain");
    const why = await refusal(() => node.create("p", "y", claim));
    expect(why)
      .to.match(/^dra\.cpu: cannot create container y of pod default\/p/)
      .and.include("plain")
      .and.include("request of its own");
    expect(node.counts["ISOLATION_CLASH"]).to.equal(1);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("isolated");
    expect(broken(node, "settled")).to.deep.equal([]);
  });

  it("keeps it when the pod is its partition, and refuses a container without it at creation", async () => {
    const x = await node.run("p", "x", claim);
    await node.run("p", "y", claim);
    expect(node.kernel.readPartition(x.pod.cgroup)).to.equal("isolated");
    const writes = node.hand.writes.length;
    expect(await refusal(() => node.create("p", "plain"))).to.include("cannot create container plain");
    const other = await node.claim({ cpus: "8" }, ["p"]);
    expect(await refusal(() => node.create("p", "z", other))).to.include("cannot create container z");
    expect(node.hand.writes.length, "decided from memory").to.equal(writes);
    expect(node.kernel.readPartition(x.pod.cgroup)).to.equal("isolated");
  });

  it("does not count a container that has ended or is being stopped", async () => {
    const init = await node.run("p", "init");
    node.runtime.stop(init);
    node.runtime.exit(init);
    await node.run("p", "x", claim);
    const y = await node.run("p", "y", claim);
    expect(node.kernel.readPartition(y.pod.cgroup)).to.equal("isolated");
  });

  it("is refused at creation beside a claim that masks hold, and costs nobody anything", async () => {
    const plainly = await node.claim({ cpus: "8" }, ["p"]);
    await node.run("p", "plain");
    await node.run("p", "x", plainly);
    await node.run("p", "y", plainly);
    const pod = node.runtime.pod("p");
    expect(() => node.runtime.create(pod, "z", { cdi: [...cdiOf(plainly), ...cdiOf(claim)] })).to.throw(
      /isolated CPUs, which only a cpuset partition gives: its claim is held by masks/,
    );
    const b = await node.run(pod, "b", claim);
    expect(node.kernel.readPartition(b.cgroup)).to.equal("isolated");
  });

  it("keeps it when a container that would also use it is refused for another claim's sake", async () => {
    const before = await node.claim({ cpus: "8" }, ["q"]);
    await node.run("q", "old", before);
    const x = await node.run("p", "x", claim);
    await node.release(before);
    await node.forget(before);
    const next = await node.claim({ cpus: "8" }, ["p"]);
    expect(() => node.runtime.create(x.pod, "z", { cdi: [...cdiOf(claim), ...cdiOf(next)] })).to.throw(
      /container old of pod default\/q of another claim still runs on them/,
    );
    expect(node.kernel.readPartition(x.cgroup)).to.equal("isolated");
  });

  it("is refused a start where no partition can be made", async () => {
    const pod = node.runtime.pod("p");
    node.kernel.mkdir(`${pod.cgroup}/other`);
    node.kernel.write(`${pod.cgroup}/other`, node.online);
    expect(await refusal(() => node.run(pod, "x", claim)))
      .to.include("cannot start container x")
      .and.include("isolated");
    await node.clock.pass(50);
    expect(leftovers(node).filter((line) => !line.includes("invalid"))).to.deep.equal([]);
  });

  it("loses it rather than sharing its CPUs with a container that came while no agent watched, and says so", async () => {
    const x = await node.run("p", "x", claim);
    await node.run("p", "y", claim);
    node.kill();
    const plain = await node.run("p", "plain");
    await node.start();
    expect(on(node, plain)).to.equal("0-3,6-15");
    expect(on(node, x)).to.equal("4-5");
    expect(node.events().join("\n")).to.include("isolated no longer");
    expect(broken(node, "settled")).to.deep.equal([]);
  });
});
