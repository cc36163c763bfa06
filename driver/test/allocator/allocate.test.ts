import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import fc from "fast-check";
import { allocate } from "../../src/allocator/allocate.ts";
import { SysfsOverlay } from "../../src/sysfs/tree.ts";
import { readMachine } from "../../src/topology/read.ts";
import { twoSockets } from "../topology/machines.ts";

const machine = readMachine(SysfsOverlay.parse(twoSockets(), undefined));
const take = (free: string, wanted: number): string => {
  const answer = allocate(machine, CpuSet.parse(free), wanted);
  return answer.kind === "allocated" ? answer.cpus.toString() : answer.because;
};

describe("plain allocation", () => {
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
