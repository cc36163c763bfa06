import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { MemoryNodes } from "@dracpu/nri-agent/sysfs/memorynodes.ts";
import { SysfsMachine } from "@dracpu/nri-agent/sysfs/online.ts";
import { expect } from "chai";

describe("memory of a claim's own NUMA nodes", () => {
  const nothing = (why: string): void => expect.fail(why);
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
      expect(new MemoryNodes(root, nothing).of(CpuSet.parse(cpus))).to.equal(nodes);
    });
  it("is all where the kernel tells nothing of nodes", () => {
    expect(new MemoryNodes(join(root, "nowhere"), nothing).of(CpuSet.parse("1"))).to.equal("");
  });
  it("is all where it cannot be read, and that is told", () => {
    const loop = join(root, "loop");
    mkdirSync(join(loop, "devices/system/node"), { recursive: true });
    symlinkSync("has_memory", join(loop, "devices/system/node/has_memory"));
    const told: string[] = [];
    expect(new MemoryNodes(loop, (why) => told.push(why)).of(CpuSet.parse("1"))).to.equal("");
    expect(told).to.deep.equal([
      `ELOOP: too many symbolic links encountered, open '${loop}/devices/system/node/has_memory'`,
    ]);
  });
  it("is read again after a read that failed, is told of once, and needs no new agent", () => {
    const told: string[] = [];
    const list = join(at, "node1/cpulist");
    rmSync(list);
    const machine = new SysfsMachine(root, true, (why) => told.push(why));
    const own = (): string => {
      machine.online();
      return machine.memoryNodes(CpuSet.parse("4"));
    };
    expect([own(), own()]).to.deep.equal(["", ""]);
    expect(told.filter((why) => why.includes("node1/cpulist"))).to.have.length(1);
    writeFileSync(list, "4-7\n");
    expect(own()).to.equal("1");
  });
  it("knows CPUs that come online later, and those that go", () => {
    const list = join(at, "node0/cpulist");
    const machine = new SysfsMachine(root, true, () => {});
    const own = (): string => {
      machine.online();
      return machine.memoryNodes(CpuSet.parse("3,10"));
    };
    expect(own()).to.equal("");
    writeFileSync(list, "0-3,10\n");
    expect(own()).to.equal("0");
    writeFileSync(list, "0-2\n");
    expect(own()).to.equal("0");
    writeFileSync(list, "0-3\n");
  });
});
