import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import fc from "fast-check";
import { ancestorsOf, exclusiveLists, listWrites, readPartition } from "../../src/partitions/plan.ts";

describe("cpuset partitions", () => {
  it("need their CPUs in every ancestor's list", () => {
    expect(ancestorsOf("/kubepods/besteffort/pod1/abc")).to.deep.equal([
      "/kubepods",
      "/kubepods/besteffort",
      "/kubepods/besteffort/pod1",
    ]);
    const lists = exclusiveLists([
      { path: "/k/b/p1/c1", cpus: CpuSet.parse("4-5") },
      { path: "/k/u/p2/c2", cpus: CpuSet.parse("8") },
    ]);
    expect([...lists].map(([path, cpus]) => `${path} ${cpus.toString()}`)).to.deep.equal([
      "/k 4-5,8",
      "/k/b 4-5",
      "/k/b/p1 4-5",
      "/k/u 8",
      "/k/u/p2 8",
    ]);
  });

  it("give up lists deepest first and take them top first, so that the kernel accepts each write", () => {
    const found = new Map([
      ["/k", CpuSet.parse("4-5")],
      ["/k/b", CpuSet.parse("4-5")],
      ["/k/b/p", CpuSet.parse("4-5")],
    ]);
    const writes = listWrites(exclusiveLists([{ path: "/k/u/q/c", cpus: CpuSet.parse("4-5") }]), found);
    expect(writes.map((one) => `${one.path}=${one.cpus.toString()}`)).to.deep.equal([
      "/k/b/p=",
      "/k/b=",
      "/k/u=4-5",
      "/k/u/q=4-5",
    ]);
  });

  it("end with exactly the wanted lists, never a child beyond its parent, never siblings that overlap", () => {
    const partition = fc.record({ pod: fc.constantFrom("/k/b/p", "/k/b/q", "/k/u/r"), first: fc.nat(7) });
    fc.assert(
      fc.property(
        fc.uniqueArray(partition, { selector: (one) => one.first, maxLength: 6 }),
        fc.uniqueArray(partition, { selector: (one) => one.first, maxLength: 6 }),
        (before, after) => {
          const lists = (set: typeof before): Map<string, CpuSet> =>
            exclusiveLists(
              set.map((one) => ({
                path: `${one.pod}/c${one.first}`,
                cpus: CpuSet.range(one.first * 4, one.first * 4 + 3),
              })),
            );
          const now = lists(before);
          for (const { path, cpus } of listWrites(lists(after), now)) {
            now.set(path, cpus);
            const parent = path.slice(0, path.lastIndexOf("/"));
            if (parent !== "")
              expect(cpus.isSubsetOf(now.get(parent) ?? CpuSet.empty), `${path} within ${parent}`).to.equal(true);
            for (const [other, has] of now) {
              const sibling = other !== path && other.slice(0, other.lastIndexOf("/")) === parent;
              if (sibling) expect(has.overlaps(cpus), `${path} and ${other}`).to.equal(false);
            }
          }
          for (const [path, cpus] of lists(after)) expect(now.get(path)?.equals(cpus), path).to.equal(true);
        },
      ),
    );
  });

  it("are read as the kernel prints them", () => {
    expect(readPartition("root\n")).to.deep.equal({ kind: "valid", type: "root" });
    expect(readPartition("isolated")).to.deep.equal({ kind: "valid", type: "isolated" });
    expect(readPartition("root invalid (Parent is not a partition root)")).to.deep.equal({
      kind: "invalid",
      type: "root",
      why: "Parent is not a partition root",
    });
    expect(readPartition("member").kind).to.equal("member");
  });
});
