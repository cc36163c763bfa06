import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { judge, type NodeFacts } from "@dracpu/driver/preconditions/judge.ts";
import { Preconditions } from "@dracpu/driver/preconditions/preconditions.ts";
import { expect } from "chai";

const cpus = (text: string): CpuSet => CpuSet.parse(text);
const FACTS: NodeFacts = {
  online: cpus("0-15"),
  reserved: cpus("0-1"),
  allocatable: CpuSet.empty,
  keptMilli: 2000,
  agent: [],
};

describe("whether a node can do the work", () => {
  for (const [what, more, codes, says] of [
    ["all is as it should be", {}, [], ""],
    ["nobody can be asked", { allocatable: undefined, keptMilli: undefined }, [], ""],
    ["the kubelet keeps a little for itself", { keptMilli: 1900 }, [], ""],
    ["a static CPU manager", { allocatable: cpus("2-15") }, ["502"], "CPUs 2-15"],
    ["a static one with other reserved CPUs", { allocatable: cpus("4-15") }, ["502", "503"], "reserves 4 (0-3)"],
    ["a kubelet that keeps more", { keptMilli: 4000 }, ["503"], "keeps 4 CPUs from pods"],
    ["a kubelet that keeps less", { keptMilli: 0 }, ["503"], "keeps 0 CPUs from pods"],
    ["no NRI", { agent: [{ code: CODES.nriOff, text: "no socket" }] }, ["504"], "no socket"],
    ["an agent that is about to work", { agent: [{ code: CODES.sessionAway, text: "away" }] }, [], ""],
  ] as const) {
    it(`knows ${what}`, () => {
      const found = judge({ ...FACTS, ...more });
      expect(found.map(({ code }) => code.id)).to.deep.equal(codes.map((one) => `DRACPU-${one}`));
      expect(found.map(({ text }) => text).join("\n")).to.include(says);
    });
  }

  it("asks again, keeps what it knew of one that is silent, and tells changes alone", async () => {
    const answers: (CpuSet | Error)[] = [cpus("2-15"), new Error("restarting"), CpuSet.empty];
    const seen: (string | undefined)[] = [];
    const ending = new AbortController();
    let changes = 0;
    const preconditions: Preconditions = new Preconditions({
      allocatable: () => {
        seen.push(preconditions.unsuited()?.code.id);
        const answer = answers.shift();
        if (answer === undefined) ending.abort();
        return answer instanceof CpuSet ? Promise.resolve(answer) : Promise.reject(answer ?? new Error("over"));
      },
      keptMilli: () => Promise.resolve(2000),
      agent: () => Promise.resolve({ findings: [], isAtWork: true }),
      online: () => cpus("0-15"),
      reserved: cpus("0-1"),
      log: { info: () => {}, warn: () => {}, error: () => {} },
      onChange: () => (changes += 1),
      leastMs: 1,
    });
    const running = preconditions.run(ending.signal);
    const kicking = setInterval(() => preconditions.kick(), 5);
    await running;
    clearInterval(kicking);
    expect(seen).to.deep.equal([undefined, "DRACPU-502", "DRACPU-502", undefined]);
    expect(changes).to.equal(2);
  });

  it("asks for the Node again and again while a kubelet that has just started may not have written it yet, and seldom else", async () => {
    let [asked, kept] = [0, 4000];
    const ending = new AbortController();
    const preconditions: Preconditions = new Preconditions({
      allocatable: () => Promise.resolve(CpuSet.empty),
      keptMilli: () => {
        asked += 1;
        return Promise.resolve(kept);
      },
      agent: () => Promise.resolve({ findings: [], isAtWork: true }),
      online: () => cpus("0-15"),
      reserved: cpus("0-1"),
      log: { info: () => {}, warn: () => {}, error: () => {} },
      onChange: () => {},
      leastMs: 1,
    });
    const running = preconditions.run(ending.signal);
    const kicking = setInterval(() => preconditions.kick(), 5);
    const passes = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 100));
    await passes();
    expect(asked, "though it looks all the time").to.equal(1);
    expect(preconditions.findings().map(({ code }) => code.id)).to.deep.equal(["DRACPU-503"]);
    preconditions.kubeletStarted();
    await passes();
    kept = 2000;
    await passes();
    expect(asked).to.be.above(3);
    expect(preconditions.findings()).to.deep.equal([]);
    ending.abort();
    clearInterval(kicking);
    await running;
  });
});
