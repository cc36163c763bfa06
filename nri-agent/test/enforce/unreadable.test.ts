import { expect } from "chai";
import { CgroupFault } from "../../src/enforce/ports.ts";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";

describe("a container's cgroup that cannot be read", () => {
  const WHY = "Cannot read cpuset.cpus: EMFILE: too many open files";
  /** The kernel's word of this cgroup alone, which is there. @returns what ends it. */
  const unreadable = (node: PlayedNode, cgroup: () => string): (() => void) => {
    const read = node.hand.read.bind(node.hand);
    node.hand.read = (path) => {
      if (path === cgroup()) throw new CgroupFault("io", WHY);
      return read(path);
    };
    return () => (node.hand.read = read);
  };
  const refusal = async (node: PlayedNode, one: Parameters<PlayedNode["begin"]>[0]): Promise<string> => {
    let message = "";
    await node.begin(one).catch((cause: unknown) => (message = (cause as Error).message));
    return message;
  };

  it("does not start where its CPUs were given to a claim since it was created, and is told of", async () => {
    const node = await PlayedNode.up({ lever: "file" });
    const late = node.create("s", "late");
    await node.run("p", "x", await node.claim({ cpus: "4-5" }, ["p"]));
    const ends = unreadable(node, () => late.cgroup);
    expect(await refusal(node, late)).to.match(/cannot start .*late.*CPUs that belong to claims .*0-3,6-15.*EMFILE/);
    expect(node.events().join("\n")).to.include(WHY);
    ends();
    const next = await node.run("s", "next");
    expect(node.kernel.effective(next.cgroup).toString()).to.equal("0-3,6-15");
  });

  it("starts where the runtime made it off all claims' CPUs", async () => {
    const node = await PlayedNode.up({ lever: "file" });
    await node.run("p", "x", await node.claim({ cpus: "4-5" }, ["p"]));
    const one = node.create("s", "one");
    unreadable(node, () => one.cgroup);
    expect(await refusal(node, one)).to.equal("");
  });

  it("counts as where it was read last: no claim's container starts on CPUs that it was on", async () => {
    const node = await PlayedNode.up({ lever: "file" });
    const plain = await node.run("s", "plain");
    const ends = unreadable(node, () => plain.cgroup);
    const claim = await node.claim({ cpus: "4-5" }, ["p"]);
    expect(await refusal(node, node.create("p", "x", claim))).to.match(/plain.* still runs on CPUs 4-5/);
    ends();
    // It is tried again by itself.
    await node.clock.pass(1000);
    expect(node.kernel.effective(plain.cgroup).toString()).to.equal("0-3,6-15");
    await node.run("p", "again", claim);
  });
});
