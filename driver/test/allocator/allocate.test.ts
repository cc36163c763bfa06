import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import fc from "fast-check";
import { allocate, allocateExact, DEFAULT_POLICY, type Policy } from "../../src/allocator/allocate.ts";
import { SysfsOverlay } from "../../src/sysfs/tree.ts";
import { readMachine } from "../../src/topology/read.ts";
import { twoSockets } from "../topology/machines.ts";

const machine = readMachine(SysfsOverlay.parse(twoSockets(), undefined));
const take = (free: string, wanted: number): string => {
  const answer = allocate(machine, CpuSet.parse(free), wanted);
  return answer.kind === "allocated" ? answer.cpus.toString() : answer.because;
};

describe("allocation", () => {
  for (const [free, wanted, cpus] of [
    ["0-15", 2, "0,8"],
    ["0-15", 3, "0-1,8"],
    ["1-15", 4, "1-2,9-10"],
    ["0-15", 8, "0-3,8-11"],
    ["0-15", 10, "0-4,8-12"],
    ["3,4-7,12-15", 2, "4,12"],
    ["0,4-7", 2, "4-5"],
    ["5", 1, "5"],
  ] as const) {
    it(`takes ${wanted} of ${free}: ${cpus}`, () => expect(take(free, wanted)).to.equal(cpus));
  }

  it("says what is missing and where the free CPUs are", () => {
    expect(take("1,12", 3)).to.equal("3 CPUs are wanted and 2 are free (NUMA node 0: 1, NUMA node 1: 12)");
  });

  for (const [wish, free, wanted, because] of [
    [
      { cores: "whole" },
      "0-1,8-9,4-6",
      6,
      "6 CPUs on whole cores are wanted; free whole cores give 4 (NUMA node 0: 0-1,8-9); 3 more threads are free on split cores (NUMA node 1: 4-6)",
    ],
    [
      { cores: "whole" },
      "0-15",
      3,
      "3 CPUs on whole cores are wanted; whole cores add up to 2 or 4 here (NUMA node 0: 0-3,8-11, NUMA node 1: 4-7,12-15)",
    ],
    [
      { cores: "isolated" },
      "0,8,4",
      2,
      "2 CPUs on cores of their own are wanted; 1 core is free with all its threads (NUMA node 0: 0,8); 1 more thread is free on a split core (NUMA node 1: 4)",
    ],
    [
      { l3: "require" },
      "0-5",
      5,
      "5 CPUs in one L3 domain are wanted; the fullest gives 4 (0-3); 6 are free (NUMA node 0: 0-3, NUMA node 1: 4-5)",
    ],
    [
      { coreType: "efficiency" },
      "0-1",
      1,
      "1 CPUs on efficiency cores are wanted; this machine has no efficiency cores; other cores have 2 free (NUMA node 0: 0-1)",
    ],
  ] as readonly (readonly [Partial<Policy>, string, number, string])[]) {
    it(`says which wish fails and what would fit: ${JSON.stringify(wish)}`, () => {
      const answer = allocate(machine, CpuSet.parse(free), wanted, { ...DEFAULT_POLICY, ...wish });
      expect(answer.kind === "shortfall" ? answer.because : "").to.equal(because);
    });
  }

  it("takes the CPUs named, or says which are not free", () => {
    const exact = allocateExact(machine, CpuSet.parse("0-3"), CpuSet.parse("1-2"));
    expect(exact.kind === "allocated" ? exact.cpus.toString() : "").to.equal("1-2");
    const short = allocateExact(machine, CpuSet.parse("0-3"), CpuSet.parse("2-5"));
    expect(short.kind === "shortfall" ? short.because : "").to.equal(
      "CPUs 2-5 are wanted and 4-5 of them are not free; free are NUMA node 0: 0-3",
    );
  });

  it("keeps the siblings of isolated CPUs idle", () => {
    const answer = allocate(machine, CpuSet.parse("1-15"), 2, { ...DEFAULT_POLICY, cores: "isolated" });
    expect(answer.kind === "allocated" ? [answer.cpus.toString(), answer.idle.toString()] : []).to.deep.equal([
      "1-2",
      "9-10",
    ]);
  });

  it("takes exactly what is wanted, of what is free, the same each time, and splits at most one core that was whole", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(15)), fc.integer({ min: 0, max: 16 }), (cpus, wanted) => {
        const free = CpuSet.from(cpus);
        const answer = allocate(machine, free, wanted);
        if (answer.kind === "shortfall") {
          expect(wanted).to.be.above(free.size);
          return;
        }
        expect(answer.cpus.size).to.equal(wanted);
        expect(answer.cpus.isSubsetOf(free)).to.equal(true);
        expect(allocate(machine, free, wanted)).to.deep.equal(answer);
        const split = machine.cores.filter(
          (core) => core.cpus.isSubsetOf(free) && core.cpus.overlaps(answer.cpus) && !core.cpus.isSubsetOf(answer.cpus),
        );
        expect(split.length).to.be.at.most(machine.l3s.length);
      }),
    );
  });
});
