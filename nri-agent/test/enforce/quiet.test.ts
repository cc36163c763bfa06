import { expect } from "chai";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { CgroupFault } from "../../src/enforce/ports.ts";
import { cdiOf } from "../../../e2e/kit/playeddriver.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";

describe("a node where nothing happens, with a runtime that takes masks by its replies only", () => {
  it("holds up no claim for masks that its last reply named", async () => {
    const node = await PlayedNode.up({ lever: "runtime" });
    await node.run("s", "s1");
    const q = await node.run("q", "q");
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    const x = await node.run("p", "x", claim);
    await node.end(x);
    await node.release(claim);
    await node.forget(claim);
    await node.clock.pass(3000);
    node.runtime.stop(q);
    await node.clock.pass(3000);
    const again = await node.claim({ cpus: "4-5" }, ["p"]);
    await node.clock.pass(3000);
    const { progress, why } = await node.progress(again);
    expect([progress, why]).to.deep.equal([Progress.ENFORCED, ""]);
  });
});

describe("a container whose start nobody tells of", () => {
  for (const lever of ["kernel", "file"] as const) {
    it(`is taken for running when its processes are seen (${lever} lever)`, async () => {
      const node = await PlayedNode.up({ lever });
      const claim = await node.claim({ cpus: "4-5" }, ["p"]);
      const x = node.create("p", "x", claim);
      const s = node.create("s", "s1");
      for (const one of [x, s]) {
        node.kernel.mkdir(one.cgroup);
        node.kernel.write(one.cgroup, CpuSet.parse(one === x ? "4-5" : "0-15"));
        node.kernel.setProcesses(one.cgroup, 1);
      }
      await node.clock.pass(25_000);
      expect([x, s].map((one) => node.kernel.effective(one.cgroup).toString())).to.deep.equal(["4-5", "0-3,6-15"]);
      expect(node.kernel.readPartition(x.cgroup)).to.equal(lever === "kernel" ? "root" : "member");
    });
  }
});

describe("a container that the runtime has lost sight of, and that runs on", () => {
  it("is moved off a claim before that is enforced, and forgotten when its processes are gone", async () => {
    const node = await PlayedNode.up({ lever: "file" });
    const s = await node.run("s", "s1");
    node.runtime.disconnect(true);
    node.runtime.containers.delete(s.id);
    await node.connect();
    const write = node.hand.write.bind(node.hand);
    let refusals = 0;
    node.hand.write = (path, cpus) => {
      if (refusals++ < 2) throw new CgroupFault("refused", `Cannot write ${path}: EBUSY`);
      write(path, cpus);
    };
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    await node.clock.pass(3000);
    expect(node.kernel.effective(s.cgroup).toString()).to.equal("0-3,6-15");
    expect((await node.progress(claim)).progress).to.equal(Progress.ENFORCED);
    node.runtime.exit(s);
    await node.clock.pass(10_000);
    expect(node.state().containers).to.have.lengthOf(0);
  });
});

describe("a container that was created and could not be started", () => {
  it("holds its claim no longer than two minutes, and stands against no other pod after that", async () => {
    const node = await PlayedNode.up();
    const claim = await node.claim({ cpus: "4-5" }, ["p", "q"]);
    node.create("p", "dead", claim);
    await node.clock.settle();
    expect(() => node.create("q", "next", claim)).to.throw(/default\/p/);
    await node.clock.pass(130_000);
    const next = await node.run("q", "next", claim);
    expect(next.first?.toString()).to.equal("4-5");
    await node.end(next);
    node.create("q", "dead2", claim);
    await node.release(claim);
    await node.clock.pass(130_000);
    expect((await node.progress(claim)).progress).to.equal(Progress.DRAINED);
  });

  it("is over when the kubelet creates it anew, also where the claim is isolated", async () => {
    const node = await PlayedNode.up();
    const claim = await node.claim({ cpus: "4-5" }, ["p"], { isolated: true });
    await node.run("p", "sidecar");
    node.runtime.create(node.runtime.pod("p"), "dead", { cdi: cdiOf(claim), name: "main" });
    await node.clock.settle();
    const second = node.runtime.create(node.runtime.pod("p"), "alive", { cdi: cdiOf(claim), name: "main" });
    await node.begin(second);
    expect(node.kernel.readPartition(second.cgroup)).to.equal("isolated");
  });

  it("is known again when it is started after all", async () => {
    const node = await PlayedNode.up();
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    const late = node.create("p", "late", claim);
    await node.release(claim);
    claim.state = "prepared";
    await node.apply({ upserts: [claim] });
    await node.clock.pass(130_000);
    await node.begin(late);
    expect(late.first?.toString()).to.equal("4-5");
    expect(node.kernel.readPartition(late.cgroup)).to.equal("root");
  });
});
