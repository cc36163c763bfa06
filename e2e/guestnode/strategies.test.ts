import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import type { Oracle, Strategy } from "../runtime/guest/oracle.ts";
import { template } from "./objects.ts";
import { world } from "./suite.ts";
import { SLOW } from "./world.ts";

/** In this order, beside each other, on one device of all CPUs but the first. */
const ROWS: readonly {
  readonly name: string;
  readonly cpus: number;
  readonly parameters: Readonly<Record<string, string>>;
  readonly quality: Strategy;
  readonly cores?: "whole" | "of its own";
  /** CPUs of each NUMA node. */
  readonly shares?: readonly number[];
}[] = [
  // More than one NUMA node has: evenly over both.
  { name: "distributed", cpus: 10, parameters: { strategy: "distributed" }, quality: "distributed", shares: [5, 5] },
  { name: "whole", cpus: 2, parameters: { strategy: "packed", cores: "whole" }, quality: "packed", cores: "whole" },
  { name: "spread", cpus: 2, parameters: { strategy: "spread" }, quality: "spread", cores: "of its own" },
];

// The node offers one device, by machine.
describe("strategies that claims name", function () {
  this.timeout(2 * SLOW);
  this.bail(true);
  let oracle: Oracle;
  let free: CpuSet;

  before(async () => {
    oracle = await world.large();
    await world.settings("groupBy=machine");
    await world.devicesBecome("large", ([one, ...more]) => one?.name === "cpudevmachine" && more.length === 0);
    free = oracle.online.minus(CpuSet.of(oracle.online.first));
  });

  for (const row of ROWS) {
    it(`${row.name}: as good as any set of what is free`, async () => {
      await world.cluster.apply(template(row.name, row));
      await world.createPods([row.name], row.name);
      const cpus = CpuSet.parse((await world.firsts([row.name])).get(row.name) ?? "");
      expect(cpus.size, cpus.toString()).to.equal(row.cpus);
      expect(cpus.isSubsetOf(free), `${cpus.toString()} are of ${free.toString()}`).to.equal(true);
      const siblings = oracle.siblings(cpus);
      if (row.cores === "whole") expect(siblings.toString(), "siblings that are not of the claim").to.equal("");
      else
        expect(oracle.quality(row.quality, cpus), cpus.toString()).to.deep.equal(
          oracle.best(row.quality, free, row.cpus),
        );
      if (row.cores === "of its own") expect(siblings.size, `siblings of ${cpus.toString()}`).to.equal(row.cpus);
      if (row.shares !== undefined)
        expect(oracle.units("node").map((one) => one.intersect(cpus).size)).to.deep.equal(row.shares);
      free = free.minus(cpus);
      await world.settled("large");
    });
  }

  it("all of them beside each other, and the other pods on what is left", async () => {
    const { masksOf } = await world.settled("large");
    expect(masksOf("shared")).to.deep.equal([free.union(CpuSet.of(oracle.online.first)).toString()]);
    await world.remove(...ROWS.map((row) => row.name));
    await world.empty(oracle.online);
  });
});
