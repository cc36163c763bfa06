import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import fc from "fast-check";
import { marksFor } from "../../src/picture/marks.ts";
import type { Picture } from "../../src/picture/picture.ts";
import { twoSockets } from "../topology/machines.ts";
import { agentOf, held, picture, running } from "./sitters.ts";

const usesOf = (shown: Picture): Record<string, string> => {
  const ids = new Map<string, number[]>();
  for (const { use, cpu } of shown.threads) ids.set(use, [...(ids.get(use) ?? []), cpu]);
  return Object.fromEntries([...ids].map(([use, cpus]) => [use, CpuSet.from(cpus).toString()]));
};
const codesOf = (shown: Picture): string[] => shown.findings.map((one) => one.code);

describe("the picture of a node", () => {
  it("shows each thread once, with its one owner", () => {
    const claims = [held("a", "1,9"), held("b", "2", { idle: CpuSet.of(10) }), held("c", "4-5", { phase: "draining" })];
    const shown = picture({
      claims,
      reserved: CpuSet.of(8),
      machineText: twoSockets({ online: "0-14" }),
      agent: agentOf(claims, []),
    });
    expect(usesOf(shown)).to.deep.equal({
      kept: "0",
      claim: "1-2,9",
      shared: "3,6-7,11-14",
      draining: "4-5",
      reserved: "8",
      idle: "10",
      offline: "15",
    });
    expect(shown.machine.held).to.equal("1-2,4-5,9-10");
    expect(codesOf(shown)).to.deep.equal([]);
    expect(shown.claims.map((one) => [one.name, one.numaNodes, one.l3s])).to.deep.equal([
      ["a", [0], [0]],
      ["b", [0], [0]],
      ["c", [1], [1]],
    ]);
  });

  it("nests the machine, and has every online CPU in one core", () => {
    const { machine } = picture();
    expect(machine.boxes.map((box) => box.names)).to.deep.equal([
      ["Socket 0", "NUMA node 0", "L3 0"],
      ["Socket 1", "NUMA node 1", "L3 1"],
    ]);
    const cores = machine.boxes.flatMap((box) => box.boxes);
    expect(cores.map((core) => core.cpus)).to.deep.equal([
      "0,8",
      "1,9",
      "2,10",
      "3,11",
      "4,12",
      "5,13",
      "6,14",
      "7,15",
    ]);
  });

  it("says of each CPU and container what the kernel allows and should not", () => {
    const claims = [held("a", "1,9")];
    const containers = [running("a", "1,9", "a"), running("web", "0,2-8,10-15", "", "0-15")];
    const shown = picture({ claims, agent: agentOf(claims, containers) });
    expect(codesOf(shown)).to.deep.equal([CODES.outside.id]);
    expect(shown.findings[0]?.text).to.include("shop/web").and.include("1,9");
    expect(shown.threads.filter((one) => one.wrong !== undefined).map((one) => one.cpu)).to.deep.equal([1, 9]);
    expect(shown.containers.map((one) => one.outside)).to.deep.equal(["", "1,9"]);
  });

  it("says where driver and agent differ, and whose CPUs are gone", () => {
    const claims = [held("a", "1"), held("b", "2"), held("c", "15")];
    const agent = agentOf([held("a", "1"), held("b", "3"), held("stray", "6")], []);
    const shown = picture({ claims, agent, machineText: twoSockets({ online: "0-14" }) });
    expect(codesOf(shown)).to.deep.equal([CODES.claimsDisagree.id, CODES.claimCpusOffline.id, CODES.claimsDisagree.id]);
    expect(shown.claims.map((one) => one.name)).to.include("stray");
    const twice = picture({ claims: [held("a", "1-2"), held("b", "2")], agent: undefined, agentWhy: "x" });
    expect(codesOf(twice)).to.deep.equal([CODES.inspectAway.id, CODES.claimsOverlap.id]);
    expect(twice.threads.find((one) => one.cpu === 2)?.wrong).to.deep.equal(["two claims hold this CPU"]);
  });

  it("goes on without either program, and says so", () => {
    const shown = picture({
      claims: [held("a", "1")],
      agent: undefined,
      agentWhy: "nobody listens",
      driver: { isRunning: false, version: "9", why: "it does not answer" },
    });
    expect(codesOf(shown)).to.deep.equal([CODES.driverAway.id, CODES.inspectAway.id]);
    expect(usesOf(shown)["claim"]).to.equal("1");
    expect(shown.machine.shared).to.equal("0,2-15");
  });

  it("gives marks that are each one's own while there are any, and that stay when later claims come", () => {
    const claim = fc.record({ uid: fc.uuid(), called: fc.string({ maxLength: 12 }) });
    fc.assert(
      fc.property(fc.uniqueArray(claim, { selector: (one) => one.uid, maxLength: 80 }), (claims) => {
        const marks = marksFor(claims);
        const own = [...marks.values()].map((one) => one.mark).filter((mark) => mark !== "*");
        expect(new Set(own).size).to.equal(own.length);
        expect(own.length).to.equal(Math.min(claims.length, 61));
        const first = [...claims].sort((a, b) => (a.uid < b.uid ? -1 : 1)).slice(0, -1);
        for (const [uid, mark] of marksFor(first)) expect(marks.get(uid)).to.deep.equal(mark);
      }),
    );
  });
});
