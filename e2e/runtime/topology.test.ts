import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";
import { againstHwloc, againstLscpu, LSCPU_COLUMNS, type Ours } from "../kit/topology/compare.ts";

const MAIN = join(import.meta.dirname, "..", "..", "driver", "src", "main.ts");
const run = (program: string, ...args: string[]): string => execFileSync(program, args, { encoding: "utf8" });

describe("the topology of this machine", function () {
  this.timeout(60_000);
  let ours: Ours;
  before(() => {
    ours = JSON.parse(run(process.execPath, MAIN, "topology", "-o", "json")) as Ours;
  });

  it("is what lscpu says", () => {
    expect(againstLscpu(ours, run("lscpu", `-p=${LSCPU_COLUMNS}`))).to.deep.equal([]);
  });

  it("is what hwloc says", () => {
    expect(againstHwloc(ours, run("lstopo-no-graphics", "--of", "xml"))).to.deep.equal([]);
  });

  it("is told apart from another one by both", () => {
    const other: Ours = {
      ...ours,
      sockets: [],
      cores: [{ cpus: "0-1" }],
      caches: [],
      numaNodes: [{ id: 7, cpus: "0" }],
    };
    expect(againstLscpu(other, run("lscpu", `-p=${LSCPU_COLUMNS}`)).length).to.be.greaterThan(3);
    expect(againstHwloc(other, run("lstopo-no-graphics", "--of", "xml")).length).to.be.greaterThan(3);
  });
});
