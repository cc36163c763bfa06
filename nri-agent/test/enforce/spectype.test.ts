import { expect } from "chai";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { MemoryCgroup } from "../../../e2e/kit/memorycgroup.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";
import { broken } from "../../../e2e/kit/playedpromises.ts";
import type { PlayedContainer } from "../../../e2e/kit/playedruntime.ts";
import { Partitioner } from "../../src/enforce/partitioner.ts";
import { NodeKnowledge } from "../../src/enforce/node.ts";

const on = (node: PlayedNode, one: PlayedContainer): string => node.kernel.effective(one.cgroup).toString();

describe("the type of a partition in the runtime's spec, which is written again with every update", () => {
  for (const canUpdate of [false, true]) {
    const by = canUpdate ? "an update" : "the next reply";

    it(`goes by ${by} when the pod becomes the partition, so that an update while no agent is there changes nothing`, async () => {
      const node = await PlayedNode.up({ canUpdate });
      const s = await node.run("s", "s1");
      const a = await node.claim({ cpus: "4-5" }, ["p"]);
      const z = await node.run("p", "z", await node.claim({ cpus: "8" }, ["p"]));
      expect(z.files).to.deep.equal({ "cpuset.cpus.partition": "root" });
      const x = await node.run("p", "x", a);
      const y = await node.run("p", "y", a);
      await node.clock.pass(10_000);
      expect([z, x, y].map((one) => one.files["cpuset.cpus.partition"] ?? "member")).to.deep.equal([
        "member",
        "member",
        "member",
      ]);
      node.kill();
      for (const one of [z, x]) node.runtime.update(one, on(node, one));
      await node.start();
      await node.clock.pass(20_000);
      expect([z, x, y, s].map((one) => on(node, one))).to.deep.equal(["8", "4-5", "4-5", "0-3,6-7,9-15"]);
      expect(broken(node, "settled")).to.deep.equal([]);
      expect(node.counts["escapes"] ?? 0).to.equal(0);
    });

    it(`goes by ${by} when masks take over`, async () => {
      const node = await PlayedNode.up({ canUpdate });
      const claim = await node.claim({ cpus: "4-5" }, ["p"]);
      const x = await node.run("p", "x", claim);
      await node.run("p", "plain");
      await node.run("p", "y", claim);
      await node.clock.pass(10_000);
      node.kill();
      node.runtime.update(x, "4-5");
      expect(node.kernel.readPartition(x.cgroup)).to.equal("member");
      await node.start();
      expect(node.counts["escapes"] ?? 0).to.equal(0);
    });
  }

  it("is not written over a partition that a sibling's mask has just invalidated", async () => {
    const node = await PlayedNode.up();
    const x = await node.run("p", "x", await node.claim({ cpus: "4-5" }, ["p"]));
    const plain = await node.run("p", "plain");
    node.kernel.write(plain.cgroup, node.online);
    node.runtime.update(x, "4-5");
    expect(on(node, x)).to.equal("4-5");
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
  });

  it("is taken back where it has made a partition inside the pod's, whose list stays whole", () => {
    const cgroup = new MemoryCgroup();
    const pod = "/kubepods/besteffort/podp";
    for (const [path, cpus, type] of [
      [pod, "4-5,8", "root"],
      [`${pod}/z`, "8", "root"],
    ] as const) {
      cgroup.add(path, cpus);
      cgroup.exclusive.set(path, CpuSet.parse(cpus));
      cgroup.partitions.set(path, type);
    }
    const observer = { count: () => {}, warn: () => {} } as never;
    const node = new NodeKnowledge({ force: "kernel", masks: "file", why: "" });
    const partitions = new Partitioner({ node, cgroup, observer });
    partitions.adopt(
      new Map([
        [`${pod}/z`, []],
        [pod, []],
      ]),
      true,
    );
    expect(cgroup.partitions.get(`${pod}/z`)).to.equal("member");
    expect(cgroup.exclusive.get(pod)?.toString()).to.equal("4-5,8");
  });
});
