import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { allocate, type Allocated, DEFAULT_POLICY } from "../../src/allocator/allocate.ts";
import { NODE_SET_BOUNDS } from "../../src/allocator/nodesets.ts";
import { machineOfCores } from "./machines.ts";

/** Sockets in a ring, a NUMA node each: no tree tells these distances. */
const ring = (sockets: number): ReturnType<typeof machineOfCores> => {
  const rows = Array.from({ length: sockets * 2 }, (_, at) => at >> 1).map((n) => ({ socket: n, numa: n, l3: n }));
  const steps = (a: number, b: number): number => Math.min((a - b + sockets) % sockets, (b - a + sockets) % sockets);
  return machineOfCores(
    rows.map((row) => ({ ...row, threads: 2, type: "standard" })),
    (thread) => thread,
    (a, b) => 10 + 10 * steps(a, b),
  );
};
const nodes = (machine: ReturnType<typeof ring>, answer: Allocated): number[] =>
  machine.numaNodes.filter((node) => node.cpus.overlaps(answer.cpus)).map(({ id }) => id);

describe("sets of NUMA nodes", () => {
  it("takes three neighbours in a ring around a node that is taken", () => {
    const machine = ring(8);
    const free = machine.online.minus(machine.numaNodes[1]?.cpus ?? machine.online);
    for (const strategy of ["packed", "spread", "distributed"] as const) {
      const answer = allocate(machine, free, 12, { ...DEFAULT_POLICY, strategy }) as Allocated;
      expect(nodes(machine, answer)).to.deep.equal([0, 6, 7]);
    }
  });

  it("beyond the bound still takes the fewest nodes, legally and at once", () => {
    const machine = ring(20);
    // 184,756 sets of ten nodes.
    expect(184_756).to.be.above(NODE_SET_BOUNDS.sets);
    const start = performance.now();
    for (const strategy of ["packed", "spread", "distributed"] as const) {
      const answer = allocate(machine, machine.online, 40, { ...DEFAULT_POLICY, strategy }) as Allocated;
      expect(answer.cpus.size).to.equal(40);
      expect(nodes(machine, answer)).to.have.length(10);
    }
    expect(performance.now() - start).to.be.below(2000);
  });
});

describe("spread over cores of four threads", () => {
  const rows = [0, 0].map(() => ({ socket: 0, numa: 0, l3: 0, threads: 4, type: "standard" as const }));
  const machine = machineOfCores(
    rows,
    (thread) => thread,
    () => 10,
  );
  it("shares out the threads that cannot be alone", () => {
    const free = CpuSet.parse("0-6");
    const answer = allocate(machine, free, 6, { ...DEFAULT_POLICY, strategy: "spread" }) as Allocated;
    // 0-3,4-5 would have as many threads that share, but seven pairs of them instead of six.
    expect(answer.cpus.toString()).to.equal("0-2,4-6");
  });
  it("leaves as many threads as possible alone", () => {
    const free = CpuSet.parse("0-7");
    const answer = allocate(machine, free, 4, { ...DEFAULT_POLICY, strategy: "spread" }) as Allocated;
    expect(answer.cpus.toString()).to.equal("0-2,4");
  });
});
