import { expect } from "chai";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";
import type { PlayedContainer } from "../../../e2e/kit/playedruntime.ts";

const on = (node: PlayedNode, one: PlayedContainer): string => node.kernel.effective(one.cgroup).toString();
const CONTAINERS = ["s", "x", "y", "z"];

describe("a product that is being taken off a node where claims' containers run", () => {
  for (const lever of ["kernel", "file"] as const)
    for (const when of ["at once", "before the runtime's list is known"] as const)
      it(`${lever}: leaves them where they are, and keeps nobody off, ${when}`, async () => {
        const node = await PlayedNode.up({ lever, canUpdate: true });
        const s = await node.run("s", "s");
        const x = await node.run("p", "x", await node.claim({ cpus: "4-5" }, ["p"], { idle: "6-7" }));
        const both = await node.claim({ cpus: "8-9" }, ["q"]);
        const y = await node.run("q", "y", both);
        const z = await node.run("q", "z", both);
        const all = [s, x, y, z];
        expect(all.map((one) => on(node, one))).to.deep.equal(["0-3,10-15", "4-5", "8-9", "8-9"]);

        if (when === "at once") await node.replace({ letGo: true });
        else {
          node.kill();
          node.enforcer = node.newLife();
          if (node.saved !== undefined) node.enforcer.restore(node.saved);
          node.enforcer.start();
          await node.replace({ letGo: true });
          await node.connect();
        }
        expect(node.state().containers.map(({ partition }) => partition)).to.deep.equal(CONTAINERS.map(() => ""));
        await node.clock.pass(3000);
        expect(all.map((one) => on(node, one))).to.deep.equal(["0-15", "4-5", "8-9", "8-9"]);
        expect(node.kernel.effective("").toString(), "host processes").to.equal("0-15");
        const groups = [x, y, z].flatMap(({ cgroup }) => [cgroup, cgroup.slice(0, cgroup.lastIndexOf("/"))]);
        for (const path of [...groups, "/kubepods/besteffort", "/kubepods"]) {
          expect(node.kernel.readPartition(path), path).to.equal("member");
          expect(node.kernel.readExclusive(path)?.toString(), path).to.equal("");
        }
        expect(node.counts["escapes"] ?? 0).to.equal(0);

        // What the runtime writes with an update by somebody else.
        node.kill();
        node.runtime.update(x, "4-5");
        expect(node.kernel.readPartition(x.cgroup)).to.equal("member");
      });

  it("keeps others off again as soon as a driver speaks that stays", async () => {
    const node = await PlayedNode.up();
    const s = await node.run("s", "s");
    const x = await node.run("p", "x", await node.claim({ cpus: "4-5" }, ["p"]));
    await node.replace({ letGo: true });
    expect(on(node, s)).to.equal("0-15");
    await node.replace();
    expect([on(node, s), on(node, x)]).to.deep.equal(["0-3,6-15", "4-5"]);
    expect(node.kernel.readPartition(x.cgroup)).to.equal("root");
  });

  it("is refused with claims beside it, of which nobody would be kept off", async () => {
    const node = await PlayedNode.up();
    const s = await node.run("s", "s");
    await node.run("p", "x", await node.claim({ cpus: "4-5" }, ["p"]));
    const said = await node.replace({ letGo: true, withClaims: true }).then(
      () => "taken",
      (cause: unknown) => (cause as Error).message,
    );
    expect(said).to.equal("claims are named beside let_go, which keeps nobody off any CPUs");
    expect(on(node, s)).to.equal("0-3,6-15");
  });

  it("starts no container of a claim any more", async () => {
    const node = await PlayedNode.up();
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    await node.run("p", "x", claim);
    await node.replace({ letGo: true });
    expect(() => node.create("p", "again", claim)).to.throw("has been released on this node");
  });
});
