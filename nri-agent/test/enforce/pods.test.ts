import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { expect } from "chai";
import { cdiOf, type PlayedClaim } from "../../../e2e/kit/playeddriver.ts";
import { PlayedNode, refusal } from "../../../e2e/kit/playednode.ts";
import { broken, leftovers } from "../../../e2e/kit/playedpromises.ts";
import type { PlayedContainer } from "../../../e2e/kit/playedruntime.ts";

const on = (node: PlayedNode, one: PlayedContainer): string => node.kernel.effective(one.cgroup).toString();

describe("a claim that several containers of a pod use", () => {
  let node: PlayedNode;
  let claim: PlayedClaim;
  let s: PlayedContainer;
  beforeEach(async () => {
    node = await PlayedNode.up();
    s = await node.run("s", "s1");
    claim = await node.claim({ a: "4", b: "5" }, ["p"]);
  });
  afterEach(() => expect(broken(node, "settled")).to.deep.equal([]));

  it("makes the pod the partition when the second one is created, before its cgroup is there", async () => {
    const x = await node.run("p", "x", claim);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
    const y = node.create("p", "y", claim);
    expect(node.kernel.readPartition(x.pod.cgroup)).to.equal("root");
    expect(node.kernel.readPartition(x.cgroup)).to.equal("member");
    await node.begin(y);
    expect([on(node, x), on(node, y), on(node, s)]).to.deep.equal(["4-5", "4-5", "0-3,6-15"]);
    expect(node.counts["escapes"] ?? 0).to.equal(0);
  });

  it("is pinned though the agent dies right after the second one was created", async () => {
    await node.run("p", "x", claim);
    const y = node.create("p", "y", claim);
    node.kill();
    await node.begin(y);
    expect(y.first?.toString()).to.equal("4-5");
    await node.start();
  });

  it("has a partition of its own for each request that one container uses alone", async () => {
    const a = await node.run("p", "a", claim, "a");
    const b = await node.run("p", "b", claim, "b");
    expect([a, b].map((one) => node.kernel.readPartition(one.cgroup))).to.deep.equal(["root", "root"]);
    expect([on(node, a), on(node, b), on(node, s)]).to.deep.equal(["4", "5", "0-3,6-15"]);
  });

  it("lets another claim of the pod into the pod's partition before that one's cgroup is there", async () => {
    await node.run("p", "x", claim);
    await node.run("p", "y", claim);
    const other = await node.claim({ cpus: "8" }, ["p"]);
    const z = node.create("p", "z", other);
    node.kill();
    await node.begin(z);
    expect(z.first?.toString()).to.equal("8");
    await node.start();
    expect(on(node, s)).to.equal("0-3,6-7,9-15");
  });

  it("is held by masks beside a container without a claim, whoever comes first, and nobody runs where it should not", async () => {
    const plain = await node.run("p", "plain");
    const x = await node.run("p", "x", claim);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
    const y = await node.run("p", "y", claim);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("member");
    expect([on(node, x), on(node, y), on(node, plain), on(node, s)]).to.deep.equal([
      "4-5",
      "4-5",
      "0-3,6-15",
      "0-3,6-15",
    ]);
    for (const one of [x, y]) await node.end(one);
    await node.clock.pass(3000);
    expect(on(node, s)).to.equal("0-15");
  });

  for (const dies of [false, true]) {
    it(`takes other claims of its container along to masks${dies ? ", though the agent dies before the start" : ""}`, async () => {
      await node.run("p", "x", claim);
      await node.run("p", "plain");
      const other = await node.claim({ cpus: "8" }, ["p"]);
      const both = [...cdiOf(claim), ...cdiOf(other)];
      const z = node.runtime.create(node.runtime.pod("p"), "z", { cdi: both });
      await node.clock.settle();
      if (dies) node.kill();
      await node.begin(z);
      expect([on(node, z), on(node, s)]).to.deep.equal(["4-5,8", "0-3,6-7,9-15"]);
      if (dies) await node.start();
    });
  }

  for (const dies of [false, true]) {
    it(`goes to masks with another claim of the pod, when one container uses both${dies ? ", though the agent dies before it starts" : ""}`, async () => {
      const other = await node.claim({ cpus: "8" }, ["p"]);
      await node.run("p", "plain");
      const x = await node.run("p", "x", claim);
      const b = await node.run("p", "b", other);
      const z = node.runtime.create(node.runtime.pod("p"), "z", { cdi: [...cdiOf(claim), ...cdiOf(other)] });
      await node.clock.settle();
      if (dies) node.kill();
      await node.begin(z);
      expect([x, b, z, s].map((one) => on(node, one))).to.deep.equal(["4-5", "8", "4-5,8", "0-3,6-7,9-15"]);
      if (dies) {
        await node.end(b);
        await node.start();
      }
      await node.clock.pass(20_000);
      expect(node.counts["escapes"] ?? 0).to.equal(0);
    });
  }

  it("goes from the pod's partition to masks when a container without a claim is created, before its cgroup is there", async () => {
    const x = await node.run("p", "x", claim);
    await node.run("p", "y", claim);
    const plain = node.create("p", "plain");
    expect(node.kernel.readPartition(x.pod.cgroup)).to.equal("member");
    node.kill();
    await node.begin(plain);
    expect(plain.first?.toString()).to.equal("0-3,6-15");
    await node.start();
    expect(on(node, s)).to.equal("0-3,6-15");
  });

  it("goes to masks for a container without a claim that came while no agent watched", async () => {
    const x = await node.run("p", "x", claim);
    await node.run("p", "y", claim);
    node.kill();
    const plain = await node.run("p", "plain");
    expect(on(node, plain), "nobody told the runtime").to.equal("4-5");
    await node.start();
    expect([on(node, x), on(node, plain)]).to.deep.equal(["4-5", "0-3,6-15"]);
  });

  it("counts nobody as the claim's who only says so, while no agent watched", async () => {
    node.kill();
    const stranger = node.create("q", "stranger", claim);
    stranger.gated = false;
    await node.begin(stranger);
    await node.start();
    expect(on(node, stranger)).to.equal("0-15");
    const x = await node.run("p", "x", claim);
    expect([on(node, x), on(node, stranger)]).to.deep.equal(["4-5", "0-3,6-15"]);
    await node.end(x);
    await node.release(claim);
    await node.clock.pass(3000);
    expect((await node.progress(claim)).progress).to.equal(Progress.DRAINED);
    await node.end(stranger);
  });

  it("keeps whom it was once reserved for until it is gone, also where no mark tells so", async () => {
    const x = await node.run("p", "x", claim);
    node.kill();
    x.annotations = {};
    await node.start();
    await node.apply({ upserts: [{ ...claim, pods: ["q"] }] });
    expect(await refusal(() => node.create("q", "thief", claim))).to.include("default/p");
    node.runtime.disconnect(true);
    await node.connect();
    expect(await refusal(() => node.create("q", "thief2", claim))).to.include("default/p");
    expect(on(node, x)).to.equal("4-5");
    await node.end(x);
    await node.run("q", "next", claim);
  });

  it("does not trust a container that has no mask, though the partition keeps it off for now", async () => {
    const x = await node.run("p", "x", claim);
    node.kill();
    const plain = await node.run("p", "plain");
    expect([node.kernel.read(plain.cgroup)?.own.toString(), on(node, plain)]).to.deep.equal(["", "0-3,6-15"]);
    await node.start();
    const y = await node.run("p", "y", claim);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("member");
    expect([on(node, x), on(node, y), on(node, plain)]).to.deep.equal(["4-5", "4-5", "0-3,6-15"]);
    expect(node.counts["escapes"] ?? 0).to.equal(0);
  });

  it("keeps its partition beside a container that was created before anybody knew of the claim", async () => {
    const other = node.create("q", "early");
    const late = await node.claim({ cpus: "8-9" }, ["q"]);
    const x = await node.run("q", "x", late);
    await node.begin(other);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
    expect(other.first?.toString()).to.equal("0-7,10-15");
    node.runtime.removePod(x.pod);
    expect(node.kernel.lost().toString(), "what is removed while it is invalid is lost for good").to.equal("");
  });

  it("gives the pod's CPUs back while the pod lives, without touching other pods that are partitions", async () => {
    const other = await node.claim({ cpus: "8-9" }, ["q"]);
    const q = [await node.run("q", "q1", other), await node.run("q", "q2", other)];
    const p = [await node.run("p", "x", claim), await node.run("p", "y", claim)];
    for (const one of p) await node.end(one);
    expect(q.map((one) => node.kernel.readPartition(one.pod.cgroup))).to.deep.equal(["root", "root"]);
    expect(on(node, s)).to.equal("0-7,10-15");
    // And its lists are open to others.
    await node.release(claim);
    await node.forget(claim);
    const r = await node.claim({ cpus: "4-5" }, ["r"]);
    const again = [await node.run("r", "r1", r), await node.run("r", "r2", r)];
    expect(node.kernel.readPartition(again[0]?.pod.cgroup ?? "")).to.equal("root");
    for (const pod of [...node.runtime.pods.values()]) node.runtime.removePod(pod);
    await node.clock.pass(3000);
    expect(leftovers(node)).to.deep.equal([]);
  });
});
