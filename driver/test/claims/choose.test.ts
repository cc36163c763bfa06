import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import fc from "fast-check";
import { DEFAULT_POLICY, type Policy } from "../../src/allocator/allocate.ts";
import { choose, goal } from "../../src/claims/choose.ts";
import type { Offer, OwnResult, Wanted } from "../../src/claims/decide.ts";
import type { Wish } from "../../src/claims/precedence.ts";
import { offerOf } from "./offers.ts";

const FREE = CpuSet.parse("0-15");
const own = (request: string, device: string, count = 1): OwnResult => ({
  request,
  pool: "n",
  device,
  shareId: undefined,
  count,
});
const wish = (policy: Partial<Policy> = {}, cpuset?: string): Wish => ({
  policy: { ...DEFAULT_POLICY, ...policy },
  cpuset: cpuset === undefined ? undefined : CpuSet.parse(cpuset),
  isolated: false,
});
const wanted = (
  results: readonly OwnResult[],
  wishes: Readonly<Record<string, Wish>> = {},
): Pick<Wanted, "results" | "wishes"> => ({
  results,
  wishes: new Map([...new Set(results.map(({ request }) => request))].map((name) => [name, wishes[name] ?? wish()])),
});
/** `a 4,12; idle 13`, or the shortfall: `! because`, `~ because (among)` where waiting may help. */
const said = (ask: Pick<Wanted, "results" | "wishes">, offer: Offer, free = FREE): string => {
  const answer = choose(ask, offer, free);
  if (answer.kind === "shortfall")
    return answer.mayWait ? `~ ${answer.because} (${answer.among.toString()})` : `! ${answer.because}`;
  const shares = answer.shares.map((share) => `${share.request} ${share.cpus.toString()}`).join("; ");
  return answer.idle.isEmpty ? shares : `${shares}; idle ${answer.idle.toString()}`;
};
const NUMA0 = "cpudevnuma000";
const NUMA1 = "cpudevnuma001";

describe("choosing for a claim", () => {
  const offer = offerOf();
  it("gives every request its own share, inside its device, in the order of the results", () => {
    expect(said(wanted([own("a", NUMA1, 2), own("b", NUMA1), own("c", NUMA0, 2)]), offer)).to.equal(
      "a 4,12; b 5; c 1,9",
    );
  });
  it("names the request that finds too few, and knows whether others could give them back", () => {
    expect(said(wanted([own("a", NUMA1, 8), own("b", NUMA1)]), offer)).to.match(/^! request b, device cpudevnuma001: /);
    expect(said(wanted([own("a", NUMA1, 3)]), offer, CpuSet.parse("1-5"))).to.match(
      /^~ request a, device cpudevnuma001: .* \(4-7,12-15\)$/,
    );
  });
  it("takes whole cores, and says at once where there will never be any", () => {
    const whole = { a: wish({ cores: "whole" }) };
    expect(said(wanted([own("a", NUMA1, 4)], whole), offer, FREE.minus(CpuSet.of(4)))).to.equal("a 5-6,13-14");
    expect(said(wanted([own("a", NUMA1, 8)], whole), offer, FREE.minus(CpuSet.of(4)))).to.match(/^~ request a/);
    expect(said(wanted([own("a", NUMA1, 3)], whole), offer)).to.match(/^! request a/);
    expect(said(wanted([own("a", NUMA1, 3)], { a: wish({ cores: "isolated" }) }), offer)).to.match(/^! request a/);
  });
  it("counts idle siblings: what was charged is taken, and one thread a core runs", () => {
    expect(said(wanted([own("a", NUMA1, 4)], { a: wish({ cores: "isolated" }) }), offer)).to.equal("a 4-5; idle 12-13");
  });
  it("has no siblings to keep idle where SMT is off", () => {
    const off = offerOf({ candidates: new Map([[NUMA0, CpuSet.parse("1-3")]]) }, "0-7");
    expect(said(wanted([own("a", NUMA0, 2)], { a: wish({ cores: "isolated" }) }), off)).to.equal("a 1-2");
  });
  it("serves requests that can take no other CPUs first, then those with conditions", () => {
    const ask = wanted([own("a", NUMA1, 2), own("b", NUMA1, 2), own("c", NUMA1, 2)], {
      b: wish({ cores: "whole" }),
      c: wish({}, "4,12"),
    });
    expect(said(ask, offer, FREE.minus(CpuSet.parse("6,7")))).to.equal("a 14-15; b 5,13; c 4,12");
  });
  it("holds its promises whatever is free and asked", () => {
    const policy = fc.record({
      strategy: fc.constantFrom("packed", "spread", "distributed"),
      cores: fc.constantFrom("any", "whole", "isolated"),
      l3: fc.constantFrom("prefer", "require", "any"),
      coreType: fc.constantFrom("any", "performance"),
    });
    const one = fc.record({ device: fc.constantFrom(NUMA0, NUMA1), count: fc.integer({ min: 1, max: 5 }), policy });
    const some = fc.array(fc.integer({ min: 0, max: 15 }), { maxLength: 16 });
    fc.assert(
      fc.property(fc.array(one, { minLength: 1, maxLength: 4 }), some, (asks, gone) => {
        const free = FREE.minus(CpuSet.from(gone));
        const results = asks.map(({ device, count }, n) => own(`r${n}`, device, count));
        const ask = wanted(
          results,
          Object.fromEntries(asks.map((each, n) => [`r${n}`, wish(each.policy as Partial<Policy>)])),
        );
        const answer = choose(ask, offer, free);
        if (answer.kind === "shortfall") return;
        const sets = [...answer.shares.map((share) => share.cpus), answer.idle];
        const all = CpuSet.union(sets);
        expect(all.size, "nothing twice").to.equal(sets.reduce((sum, set) => sum + set.size, 0));
        expect(all.isSubsetOf(free)).to.equal(true);
        expect(all.size, "as charged").to.equal(results.reduce((sum, { count }) => sum + count, 0));
        for (const share of answer.shares)
          expect(share.cpus.isSubsetOf(offer.candidates.get(share.device) ?? CpuSet.empty)).to.equal(true);
      }),
      { numRuns: 300 },
    );
  });
});

describe("an exact cpuset", () => {
  const offer = offerOf();
  const machine = offerOf({ candidates: new Map([["cpudevmachine", CpuSet.parse("1-7,9-15")]]) });
  const exact = (cpus: string, count: number, free = FREE): string =>
    said(wanted([own("a", "cpudevmachine", count)], { a: wish({}, cpus) }), machine, free);
  it("is given as it is", () => {
    expect(exact("2-5", 4)).to.equal("a 2-5");
    expect(said(wanted([own("a", NUMA1, 2)], { a: wish({}, "7,12") }), offer)).to.equal("a 7,12");
  });
  it("waits for those who hold it", () => {
    expect(exact("2-5", 4, CpuSet.parse("0-2,5-15"))).to.equal(
      "~ request a: CPUs 3-4 of its cpuset 2-5 are not free (3-4)",
    );
  });
  for (const [what, cpus, count, says] of [
    ["another size", "2-5", 3, "its cpuset 2-5 has 4 CPUs, and its capacity is 3; make both the same"],
    ["no such CPU", "3,99", 2, "CPUs 99 of its cpuset 3,99 do not exist on this machine"],
    [
      "reserved and kept ones, all told",
      "0,8",
      2,
      "CPUs 0 of its cpuset 0,8 are reserved by the node's configuration; CPUs 8 of its cpuset 0,8 are kept for the shared pool",
    ],
  ] as const) {
    it(`is refused at once: ${what}`, () => expect(exact(cpus, count)).to.equal(`! request a: ${says}`));
  }
  it("is refused at once: offline CPUs", () => {
    const some = offerOf({ candidates: new Map([["cpudevmachine", CpuSet.parse("1-7,9-14")]]) }, "0-14");
    expect(said(wanted([own("a", "cpudevmachine", 2)], { a: wish({}, "14-15") }), some)).to.equal(
      "! request a: CPUs 15 of its cpuset 14-15 are offline",
    );
  });
  it("is refused at once: CPUs of another device", () => {
    expect(said(wanted([own("a", NUMA1, 2)], { a: wish({}, "3-4") }), offer)).to.equal(
      "! request a: CPUs 3 of its cpuset 3-4 are not of the allocated device cpudevnuma001 (CPUs 4-7,12-15)",
    );
  });
  it("is refused at once: two requests of a claim on the same CPUs", () => {
    const both = { a: wish({}, "2-3"), b: wish({}, "3-4") };
    expect(said(wanted([own("a", "cpudevmachine", 2), own("b", "cpudevmachine", 2)], both), machine)).to.equal(
      "! request b: CPUs 3 of its cpuset 3-4 belong to another request of this claim; give each request its own by `requests`",
    );
  });
  it("may span the devices of one request, each for what it is charged", () => {
    const two = wanted([own("a", NUMA0, 2), own("a", NUMA1, 2)], { a: wish({}, "2-5") });
    expect(said(two, offer)).to.equal("a 2-3; a 4-5");
    const uneven = wanted([own("a", NUMA0, 2), own("a", NUMA1, 2)], { a: wish({}, "3-6") });
    expect(said(uneven, offer)).to.equal(
      "! request a: device cpudevnuma000 is charged for 2 CPUs, and its cpuset has 1 there (3); device cpudevnuma001 is charged for 2 CPUs, and its cpuset has 3 there (4-6)",
    );
  });
});

describe("individual devices", () => {
  const offer = offerOf();
  const cpus = (list: string, request = "a"): OwnResult[] =>
    CpuSet.parse(list)
      .toArray()
      .map((cpu) => own(request, `cpudev${String(cpu).padStart(3, "0")}`));
  const given = (list: string, one: Wish = wish(), free = FREE): string =>
    said(wanted(cpus(list), { a: one }), offer, free);
  it("are what the scheduler chose, a share each", () => {
    expect(given("1,5,9")).to.equal("a 1; a 5; a 9");
    expect(said(wanted([...cpus("1-2"), ...cpus("4", "b")]), offer)).to.equal("a 1; a 2; b 4");
  });
  it("are waited for where somebody still has them", () => {
    expect(given("1-3", wish(), CpuSet.parse("1,3"))).to.equal(
      "~ request a: the scheduler has chosen CPUs 2, which are not free yet (2)",
    );
  });
  it("are held against the conditions, and every one that fails is told", () => {
    expect(given("1,9", wish({ cores: "whole" }))).to.equal("a 1; a 9");
    expect(given("1,4", wish({ cores: "whole", l3: "require", coreType: "efficiency" }))).to.equal(
      "! request a: the scheduler has chosen CPUs 1,4, and with `cores: whole` it also needs the siblings 9,12; ask for a multiple of the threads of a core, and delete the pod, so that the scheduler chooses anew; with `l3: require` they have to share one L3, and lie in 2; tie them by `matchAttribute: dra.cpu/cacheL3ID`; with `coreType: efficiency` CPUs 1,4 do not fit; select by `dra.cpu/coreType`",
    );
    expect(given("1-2", wish({ l3: "require", coreType: "performance" }))).to.equal("a 1; a 2");
  });
  it("keep one thread a core running where cores are isolated", () => {
    expect(given("1-2,9-10", wish({ cores: "isolated" }))).to.equal("a 1; a 2; idle 9-10");
    expect(given("1-2,9", wish({ cores: "isolated" }))).to.match(/^! .* siblings 10;/);
  });
  it("have to be the exact cpuset where one is named", () => {
    expect(given("1-2", wish({}, "1-2"))).to.equal("a 1; a 2");
    expect(given("1-2", wish({}, "3-4"))).to.equal(
      "! request a: the scheduler has chosen CPUs 1-2, and its cpuset is 3-4; in individual mode select these CPUs by `dra.cpu/cpuID`",
    );
  });
});

describe("what a claim waits for", () => {
  const text = (one: { cpus: CpuSet; fixed: boolean }): string => `${one.cpus.toString()}${one.fixed ? " fixed" : ""}`;
  it("is its devices' CPUs, or just those that it has to have", () => {
    expect(text(goal(wanted([own("a", NUMA1)]), offerOf()))).to.equal("4-7,12-15");
    expect(text(goal(wanted([own("a", NUMA1, 2)], { a: wish({}, "4-5") }), offerOf()))).to.equal("4-5 fixed");
    expect(text(goal(wanted([own("a", NUMA1, 2), own("b", NUMA0)], { a: wish({}, "4-5") }), offerOf()))).to.equal(
      "1-5,9-11",
    );
    expect(text(goal(wanted([own("a", "cpudev003")]), offerOf()))).to.equal("3 fixed");
  });
});
