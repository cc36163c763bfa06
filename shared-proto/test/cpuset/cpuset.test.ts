import { expect } from "chai";
import fc from "fast-check";
import { CpuListError, CpuSet, MAX_CPU_ID } from "@dracpu/shared-proto/cpuset/cpuset.ts";

const ids = fc.uniqueArray(fc.integer({ min: 0, max: 2000 }), { maxLength: 80 });

describe("cpuset", () => {
  it("prints ascending ranges and reads them back", () => {
    expect(CpuSet.of(8, 0, 1, 3, 2).toString()).to.equal("0-3,8");
    expect(CpuSet.of(4, 5).toString()).to.equal("4-5");
    expect(CpuSet.empty.toString()).to.equal("");
    expect(CpuSet.parse("0-3,8\n").toArray()).to.deep.equal([0, 1, 2, 3, 8]);
    fc.assert(
      fc.property(ids, (list) => {
        const set = CpuSet.from(list);
        expect(CpuSet.parse(set.toString()).equals(set)).to.equal(true);
        expect(set.size).to.equal(list.length);
        expect(set.toArray()).to.deep.equal([...list].sort((a, b) => a - b));
      }),
    );
  });

  it("obeys the laws of sets", () => {
    fc.assert(
      fc.property(ids, ids, (x, y) => {
        const [a, b] = [CpuSet.from(x), CpuSet.from(y)];
        const wantUnion = [...new Set([...x, ...y])].sort((p, q) => p - q);
        expect(a.union(b).toArray()).to.deep.equal(wantUnion);
        expect(a.minus(b).union(a.intersect(b)).equals(a)).to.equal(true);
        expect(a.minus(b).overlaps(b)).to.equal(false);
        expect(a.intersect(b).isSubsetOf(a)).to.equal(true);
        expect(a.overlaps(b)).to.equal(x.some((c) => y.includes(c)));
      }),
    );
  });

  for (const [text, why] of [
    ["0-", "neither a number nor a range"],
    ["3-1", "runs backwards"],
    ["a", "neither a number nor a range"],
    ["0 -3", "neither a number nor a range"],
    ["0,,2", "neither a number nor a range"],
    ["-1", "neither a number nor a range"],
    ["0-4:1/2", "neither a number nor a range"],
    [`${MAX_CPU_ID + 1}`, `above ${MAX_CPU_ID}`],
    ["99999999999999999999", "neither a number nor a range"],
  ] as const) {
    it(`refuses ${JSON.stringify(text)} in words`, () => {
      expect(() => CpuSet.parse(text)).to.throw(CpuListError, why);
    });
  }

  it("cuts a long text in the error", () => {
    expect(() => CpuSet.parse("x".repeat(5000)))
      .to.throw(CpuListError)
      .with.property("message")
      .with.length.below(200);
  });
});
