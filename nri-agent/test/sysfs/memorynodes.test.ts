import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { memoryNodesOf } from "@dracpu/nri-agent/sysfs/memorynodes.ts";
import { expect } from "chai";

describe("memory of a claim's own NUMA nodes", () => {
  const root = mkdtempSync(join(tmpdir(), "mn-"));
  const at = join(root, "devices/system/node");
  before(() => {
    for (const [id, cpus] of ["0-3", "4-7", "8-9", ""].entries()) {
      mkdirSync(join(at, `node${id}`), { recursive: true });
      writeFileSync(join(at, `node${id}`, "cpulist"), `${cpus}\n`);
    }
    // Node 2 has CPUs and no memory; node 3 memory and no CPUs.
    writeFileSync(join(at, "has_memory"), "0-1,3\n");
  });
  after(() => rmSync(root, { recursive: true }));

  for (const [cpus, nodes] of [
    ["1-2", "0"],
    ["3-4", "0-1"],
    ["8", ""],
    ["7-8", ""],
  ] as const)
    it(`of CPUs ${cpus} is ${nodes === "" ? "all, since one has none of its own" : `node ${nodes}`}`, () => {
      expect(memoryNodesOf(root)(CpuSet.parse(cpus))).to.equal(nodes);
    });
  it("is all where the kernel tells nothing of nodes", () => {
    expect(memoryNodesOf(join(root, "nowhere"))(CpuSet.parse("1"))).to.equal("");
  });
});
