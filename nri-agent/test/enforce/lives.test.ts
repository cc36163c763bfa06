import { expect } from "chai";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { PlayedClaim } from "../../../e2e/kit/playeddriver.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";
import { broken, leftovers } from "../../../e2e/kit/playedpromises.ts";
import type { PlayedContainer } from "../../../e2e/kit/playedruntime.ts";

const on = (node: PlayedNode, one: PlayedContainer): string => node.kernel.effective(one.cgroup).toString();

interface World {
  readonly node: PlayedNode;
  readonly claim: PlayedClaim;
  readonly x: PlayedContainer;
}

async function world(): Promise<World> {
  const node = await PlayedNode.up();
  await node.run("s", "s1");
  const claim = await node.claim({ cpus: "4-5" }, ["p"]);
  return { node, claim, x: await node.run("p", "x", claim) };
}

describe("one life of the agent after another", () => {
  const scenes: Readonly<Record<string, (world: World) => Promise<unknown>>> = {
    "a claim's container starts": async ({ node }) => node.run("q", "y", await node.claim({ cpus: "8" }, ["q"])),
    "a second container makes the pod the partition": ({ node, claim }) => node.run("p", "y", claim),
    "a claim's container ends": ({ node, x }) => node.end(x),
    "a pod's partition ends": async ({ node, claim, x }) => {
      const y = await node.run("p", "y", claim);
      await node.end(x);
      await node.end(y);
    },
    "a container without a claim joins a pod that is a partition": async ({ node, claim }) => {
      await node.run("p", "y", claim);
      await node.run("p", "plain");
    },
    "a driver speaks": ({ node }) => node.replace(),
    "the runtime is listed again": async ({ node }) => {
      node.runtime.disconnect(true);
      await node.connect();
    },
  };
  for (const [name, play] of Object.entries(scenes)) {
    it(`dies at any of its writes while ${name}, and the next one finishes`, async () => {
      let deaths = 0;
      for (let n = 1; ; n++) {
        const at = await world();
        at.node.dieAtWrite(n);
        await play(at).catch((cause: unknown) => {
          // What it did for others came to nothing.
          if (!at.node.isDead) throw cause;
        });
        if (!at.node.isDead) break;
        deaths += 1;
        expect(broken(at.node, "now"), `dead at write ${n}`).to.deep.equal([]);
        at.node.kill();
        await at.node.start();
        await at.node.clock.pass(5000);
        expect(broken(at.node, "settled"), `after a death at write ${n}`).to.deep.equal([]);
        for (const pod of [...at.node.runtime.pods.values()]) at.node.runtime.removePod(pod);
        await at.node.clock.pass(2000);
        const last = await at.node.run("last", "last", await at.node.claim({ cpus: "1-3" }, ["last"]));
        expect(at.node.kernel.readPartition(last.cgroup)).to.equal("root");
        at.node.runtime.removePod(last.pod);
        await at.node.clock.pass(2000);
        expect(leftovers(at.node), `after a death at write ${n}`).to.deep.equal([]);
      }
      if (!["a driver speaks", "the runtime is listed again"].includes(name)) expect(deaths).to.be.above(3);
    });
  }

  it("takes up a partition that is there, without a moment in which it is open", async () => {
    const { node, x } = await world();
    node.kill();
    await node.start();
    expect(node.hand.writes).to.deep.equal([]);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
    expect(node.counts["escapes"] ?? 0).to.equal(0);
  });

  it("leaves partitions alone until somebody says which claims there are, and gives up those of nobody then", async () => {
    const { node, claim, x } = await world();
    node.kill();
    node.claims.delete(claim.uid);
    await node.start({ file: false, replace: false });
    expect(node.hand.writes).to.deep.equal([]);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
    await node.replace();
    expect(node.kernel.readPartition(x.cgroup)).to.equal("member");
    expect(node.state().containers.find((one) => one.ref?.id === "x")?.problem).to.include("Confined");
  });

  for (const away of [true, false]) {
    it(`puts a partition right that a sibling's mask has invalidated, ${away ? "while no agent watched" : "within a second"}`, async () => {
      const { node, claim, x } = await world();
      const plain = await node.run("p", "plain");
      if (away) node.kill();
      node.kernel.write(plain.cgroup, CpuSet.parse("0-15"));
      expect(node.kernel.readPartition(x.cgroup)).to.equal("root invalid");
      expect(node.kernel.isHalf(x.cgroup)).to.equal(true);
      if (away) await node.start();
      else await node.clock.pass(1000);
      expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
      expect([on(node, x), on(node, plain)]).to.deep.equal(["4-5", "0-3,6-15"]);
      expect(node.events().filter((message) => message.includes("no longer keeps others off"))).to.have.length(1);
      expect(broken(node, "settled")).to.deep.equal([]);
      await node.end(x);
      await node.release(claim);
      await node.forget(claim);
      const next = await node.run("q", "next", await node.claim({ cpus: "4-5" }, ["q"]));
      expect(on(node, next)).to.equal("4-5");
    });
  }

  it("puts it right as soon as the kernel announces it, and answers who does it again and again ever less often", async () => {
    const { node, x } = await world();
    const plain = await node.run("p", "plain");
    await node.clock.pass(1500);
    const repairs = (): number => node.counts["repairs"] ?? 0;
    node.kernel.write(plain.cgroup, CpuSet.parse("0-15"));
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root invalid");
    await node.clock.settle();
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
    expect(broken(node, "settled")).to.deep.equal([]);
    const before = repairs();
    for (let ms = 0; ms < 400; ms += 10) {
      node.kernel.write(plain.cgroup, CpuSet.parse("0-15"));
      await node.clock.pass(10);
    }
    expect(repairs() - before).to.be.within(2, 4);
    await node.clock.pass(1000);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
    expect([on(node, x), on(node, plain)]).to.deep.equal(["4-5", "0-3,6-15"]);
  });

  it("takes claims along from masks to partitions, and back", async () => {
    const { node, claim, x } = await world();
    const y = await node.run("p", "y", claim);
    const other = await node.claim({ cpus: "8" }, ["p"]);
    const z = await node.run("p", "z", other);
    const s = [...node.runtime.containers.values()].find((one) => one.id === "s1");
    if (s === undefined) throw new Error("no s1");
    node.kill();
    await node.start({ lever: "file" });
    expect(node.kernel.readPartition(x.pod.cgroup), "masks hold it").to.equal("member");
    expect([x, y, s].map((one) => on(node, one))).to.deep.equal(["4-5", "4-5", "0-3,6-7,9-15"]);
    const plain = await node.run("p", "plain");
    expect(plain.first?.toString()).to.equal("0-3,6-7,9-15");
    expect(broken(node, "settled")).to.deep.equal([]);
    await node.end(plain);
    node.kill();
    await node.start({ lever: "kernel" });
    await node.clock.pass(5000);
    expect(node.kernel.readPartition(x.pod.cgroup)).to.equal("root");
    expect([x, y, z, s].map((one) => on(node, one))).to.deep.equal(["4-5", "4-5", "8", "0-3,6-7,9-15"]);
    expect(node.kernel.read(s.cgroup)?.own.toString()).to.equal("0-15");
    expect(broken(node, "settled")).to.deep.equal([]);
  });
});
