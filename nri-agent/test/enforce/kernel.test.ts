import { expect } from "chai";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";
import { broken, leftovers } from "../../../e2e/kit/playedpromises.ts";

const cpus = (text: string): CpuSet => CpuSet.parse(text);

describe("the kernel lever", () => {
  it("gives a claim's container its CPUs at its start, without an update to anybody, and takes nothing before", async () => {
    const node = await PlayedNode.up();
    const s = await node.run("s", "s1");
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    expect((await node.progress(claim)).progress).to.equal(Progress.ENFORCED);
    expect(node.kernel.effective(s.cgroup).toString(), "lent out until the start").to.equal("0-15");
    const before = node.hand.writes.length;
    const x = await node.run("p", "x", claim);
    expect(x.first?.toString()).to.equal("4-5");
    expect(node.kernel.effective(s.cgroup).toString()).to.equal("0-3,6-15");
    expect(node.kernel.effective("").toString(), "host processes").to.equal("0-3,6-15");
    expect(node.hand.writes.slice(before).filter((write) => write.includes(s.cgroup))).to.deep.equal([]);
    expect(broken(node, "settled")).to.deep.equal([]);
    await node.end(x);
    expect(node.kernel.effective(s.cgroup).toString()).to.equal("0-15");
    expect(leftovers(node)).to.deep.equal([]);
  });

  it("moves shared containers to the reserved CPUs when claims take all others, and back", async () => {
    const node = await PlayedNode.up({ online: "0-3", reserved: "0-1" });
    const s = await node.run("s", "s1");
    const first = await node.claim({ cpus: "2" }, ["p"]);
    await node.run("p", "x", first);
    expect(node.kernel.effective(s.cgroup).toString()).to.equal("3");
    expect(node.state().pool?.shared, "what ordinary containers may use").to.equal("3");
    const second = await node.claim({ cpus: "3" }, ["q"]);
    const y = await node.run("q", "y", second);
    const late = await node.run("s", "s2");
    expect([s, late].map((one) => node.kernel.effective(one.cgroup).toString())).to.deep.equal(["0-1", "0-1"]);
    expect(node.state()).to.deep.include({ problemCodes: ["DRACPU-104"] });
    expect(broken(node, "settled")).to.deep.equal([]);
    await node.end(y);
    await node.release(second);
    await node.forget(second);
    expect([s, late].map((one) => node.kernel.effective(one.cgroup).toString())).to.deep.equal(["3", "3"]);
    expect(broken(node, "settled")).to.deep.equal([]);
  });

  it("takes the CPUs back at each start of the claim, in every QoS class", async () => {
    const node = await PlayedNode.up();
    for (const [n, qos] of (["besteffort", "burstable", "besteffort"] as const).entries()) {
      const pod = node.runtime.pod(`p${n}`, qos);
      const claim = await node.claim({ cpus: "4-5" }, [pod.sandbox.uid]);
      for (const id of [`x${n}`, `again${n}`]) {
        const x = await node.run(pod, id, claim);
        expect(x.first?.toString(), id).to.equal("4-5");
        expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
        await node.end(x);
      }
      await node.release(claim);
      expect((await node.progress(claim)).progress).to.equal(Progress.DRAINED);
      await node.forget(claim);
    }
    expect(leftovers(node)).to.deep.equal([]);
  });

  it("cleans lists that an earlier life left, though no container of it is there to tell where", async () => {
    const node = new PlayedNode();
    for (const path of ["/kubepods", "/kubepods/besteffort", "/kubepods/besteffort/podold"]) {
      node.kernel.mkdir(path);
      node.kernel.writeExclusive(path, cpus("4-5"));
    }
    node.enforcer.start();
    await node.replace();
    await node.connect();
    const pod = node.runtime.pod("p", "burstable");
    const x = await node.run(pod, "x", await node.claim({ cpus: "4-5" }, ["p"]));
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
    expect(node.kernel.readExclusive("/kubepods/besteffort")?.toString()).to.equal("");
  });

  it("gives CPUs to one claim only: the second waits, named, until no process of the first is left", async () => {
    const node = await PlayedNode.up();
    const first = await node.claim({ cpus: "4-5" }, ["p"]);
    const x = await node.run("p", "x", first);
    await node.release(first);
    await node.forget(first);
    const second = await node.claim({ cpus: "5-6" }, ["q"]);
    const pending = await node.progress(second);
    expect(pending.progress).to.equal(Progress.PENDING);
    expect(pending.why).to.include("default/p");
    await node.end(x);
    expect((await node.progress(second)).progress).to.equal(Progress.ENFORCED);
    await node.run("q", "y", second);
    expect(broken(node, "settled")).to.deep.equal([]);
  });

  it("refuses to create a claim's container on CPUs where another's still runs, in words for the pod", async () => {
    const node = await PlayedNode.up();
    const first = await node.claim({ cpus: "4-5" }, ["p"]);
    const x = await node.run("p", "x", first);
    await node.release(first);
    await node.forget(first);
    const second = await node.claim({ cpus: "5-6" }, ["q"]);
    expect(() => node.create("q", "y", second)).to.throw(
      /^dra\.cpu: cannot create container y of pod default\/q on CPUs 5-6: container x of pod default\/p of another claim still runs on them$/,
    );
    expect(node.state().containers.some((one) => one.ref?.id === "y")).to.equal(false);
    expect(node.kernel.effective(x.cgroup).toString()).to.equal("4-5");
    expect(broken(node, "settled")).to.deep.equal([]);
  });

  it("falls back to masks where the kernel refuses, says so, and comes back to a partition at the next start", async () => {
    const node = await PlayedNode.up();
    const s = await node.run("s", "s1");
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    const pod = node.runtime.pod("p");
    // A cgroup beside it that somebody gave all CPUs, such as by hand.
    node.kernel.mkdir(`${pod.cgroup}/other`);
    node.kernel.write(`${pod.cgroup}/other`, cpus("0-15"));
    const x = await node.run(pod, "x", claim);
    expect(x.first?.toString()).to.equal("4-5");
    expect(node.kernel.readPartition(x.cgroup)).to.equal("member");
    expect(node.kernel.effective(s.cgroup).toString()).to.equal("0-3,6-15");
    expect(node.warnings.join("\n")).to.include("not exclusive");
    expect(node.counts["partitionFailures"]).to.equal(1);
    await node.end(x);
    node.kernel.rmdir(`${pod.cgroup}/other`);
    const again = await node.run(pod, "again", claim);
    expect(node.kernel.readPartition(again.cgroup)).to.equal("root");
    await node.clock.pass(3000);
    expect(node.kernel.read(s.cgroup)?.own.toString()).to.equal("0-15");
    expect(broken(node, "settled")).to.deep.equal([]);
  });

  it("keeps siblings that a claim leaves idle free by masks, before and after its container runs", async () => {
    const node = await PlayedNode.up();
    const s = await node.run("s", "s1");
    const claim = await node.claim({ cpus: "4-5" }, ["p"], { idle: "6-7" });
    expect((await node.progress(claim)).progress).to.equal(Progress.ENFORCED);
    expect(node.kernel.effective(s.cgroup).toString()).to.equal("0-5,8-15");
    await node.run("p", "x", claim);
    expect(node.kernel.effective(s.cgroup).toString()).to.equal("0-3,8-15");
    expect(node.kernel.effective("").toString(), "host processes are not kept off idle CPUs").to.equal("0-3,6-15");
  });

  it("gives everything but one CPU to a claim, and refuses nobody else a place to run", async () => {
    const node = await PlayedNode.up();
    const s = await node.run("s", "s1");
    const x = await node.run("p", "x", await node.claim({ cpus: "1-15" }, ["p"]));
    expect(x.first?.toString()).to.equal("1-15");
    expect(node.kernel.effective(s.cgroup).toString()).to.equal("0");
    await node.end(x);
    expect(leftovers(node)).to.deep.equal([]);
  });

  it("moves nobody once for each of many claims that it takes over from masks", async () => {
    const node = await PlayedNode.up({ lever: "file" });
    const shared = [await node.run("s", "s1"), await node.run("s", "s2")];
    const claimed = [];
    for (const at of [4, 6, 8, 10, 12]) {
      const pod = `p${at}`;
      claimed.push(await node.run(pod, `x${at}`, await node.claim({ cpus: `${at}-${at + 1}` }, [pod])));
    }
    node.kill();
    for (const { cgroup } of shared) node.kernel.write(cgroup, cpus("0-15"));
    await node.start({ lever: "kernel" });
    await node.clock.pass(3000);
    expect(claimed.map((one) => node.kernel.readPartition(one.cgroup))).to.deep.equal(Array(5).fill("root"));
    for (const { cgroup } of shared) {
      const writes = node.hand.writes.filter((write) => write.includes(cgroup));
      expect(writes.length, writes.join("; ")).to.be.at.most(2);
    }
    expect(broken(node, "settled")).to.deep.equal([]);
  });

  it("takes a CPU that was offline when the claim's container started as soon as it is back", async () => {
    const node = await PlayedNode.up();
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    node.setOnline("0-4,6-15");
    await node.clock.pass(2000);
    const x = await node.run("p", "x", claim);
    expect(x.first?.toString()).to.equal("4");
    node.setOnline("0-15");
    await node.clock.pass(3000);
    expect(node.kernel.effective(x.cgroup).toString()).to.equal("4-5");
    expect(broken(node, "settled")).to.deep.equal([]);
  });

  it("calls no CPU of its claim an escape, whoever hears first that it is back", async () => {
    const node = await PlayedNode.up();
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    node.setOnline("0-4,6-15");
    // A driver that has seen the machine so, and does not come back.
    await node.clock.pass(2000);
    await node.replace({ online: "0-4,6-15" });
    const x = await node.run("p", "x", claim);
    node.setOnline("0-15");
    await node.clock.pass(15_000);
    expect(node.kernel.effective(x.cgroup).toString()).to.equal("4-5");
    expect([node.counts["escapes"], node.counts["maskFailures"]]).to.deep.equal([undefined, undefined]);
  });

  it("makes a partition of what the machine still has of a claim", async () => {
    const node = await PlayedNode.up({ online: "0-5" });
    const x = await node.run("p", "x", await node.claim({ cpus: "4-7" }, ["p"], { isolated: true }));
    expect(x.first?.toString()).to.equal("4-5");
    expect(node.kernel.readPartition(x.cgroup)).to.equal("isolated");
    node.kill();
    await node.start();
    expect(node.kernel.readPartition(x.cgroup)).to.equal("isolated");
    expect(broken(node, "settled")).to.deep.equal([]);
  });

  it("counts and reports a partition whose CPUs all go offline, and takes them again when they are back", async () => {
    const node = await PlayedNode.up();
    const x = await node.run("p", "x", await node.claim({ cpus: "4-5" }, ["p"]));
    node.setOnline("0-3,6-15");
    await node.clock.pass(2000);
    expect(node.counts["escapes"]).to.equal(1);
    node.setOnline("0-15");
    await node.clock.pass(3000);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
    expect(node.kernel.effective(x.cgroup).toString()).to.equal("4-5");
    expect(broken(node, "settled")).to.deep.equal([]);
  });
});
