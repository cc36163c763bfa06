import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { machine as overlayOf, MACHINES } from "../../../e2e/machines/build.ts";
import { printTopology } from "../../src/cli/topology.ts";
import { SysfsOverlay } from "../../src/sysfs/overlay.ts";
import type { Machine } from "../../src/topology/machine.ts";
import { readMachine } from "../../src/topology/read.ts";

const read = (name: string): Machine => readMachine(SysfsOverlay.parse(overlayOf(name), undefined));

/** Sizes of units, such as `8 x 32`. */
function sizes(units: readonly { readonly cpus: CpuSet }[]): string {
  const found = new Map<number, number>();
  for (const unit of units) found.set(unit.cpus.size, (found.get(unit.cpus.size) ?? 0) + 1);
  return [...found].map(([size, n]) => `${n} x ${size}`).join(", ");
}

function summary(machine: Machine): Record<string, string> {
  const classes = new Map<string, number>();
  for (const cpu of machine.cpus) classes.set(cpu.coreType, (classes.get(cpu.coreType) ?? 0) + 1);
  return {
    sockets: `${sizes(machine.sockets)}: ${machine.sockets.map((one) => one.id).join(",")}`,
    numa: sizes(machine.numaNodes),
    l3: sizes(machine.l3s),
    cores: sizes(machine.cores),
    clusters: sizes(machine.clusters),
    classes: [...classes].map(([type, n]) => `${type} ${n}`).join(", "),
    unknowns: machine.unknowns.join("; "),
  };
}

const SIXTEEN = Array.from({ length: 16 }, (_, n) => n).join(",");
/** What each machine is, by its makers. */
const EXPECTED: Readonly<Record<string, Record<string, string>>> = {
  "xeon-8480-2s-snc4": { sockets: "2 x 112: 0,1", numa: "8 x 28", l3: "2 x 112", cores: "112 x 2" },
  "epyc-7763-2s-nps4": { sockets: "2 x 128: 0,1", numa: "8 x 32", l3: "16 x 16", cores: "128 x 2" },
  "kunpeng-920-2s": { sockets: "2 x 64: 36,8484", numa: "4 x 32", l3: "4 x 32", cores: "128 x 1", clusters: "32 x 4" },
  "grace-gb200-34n": { sockets: "2 x 72: 0,1", numa: "2 x 72, 32 x 0", l3: "2 x 72", cores: "144 x 1" },
  "power9-2s-smt8": { sockets: "2 x 96: 0,8", numa: "2 x 96", l3: "24 x 8", cores: "24 x 8" },
  "xeon-6230-2s-smt-off": { sockets: "2 x 20: 0,1", numa: "2 x 20", l3: "2 x 20", cores: "40 x 1" },
  "epyc-7313-2s-offline": {
    sockets: "1 x 21, 1 x 19: 0,1",
    numa: "1 x 21, 1 x 19",
    l3: "2 x 5, 2 x 8, 2 x 4, 1 x 6",
    cores: "12 x 2, 16 x 1",
  },
  "xeon-phi-smt4": {
    sockets: "1 x 256: 0",
    numa: "1 x 256",
    cores: "64 x 4",
    unknowns: "the kernel tells no level 3 cache of CPUs 0-255",
  },
  "epyc-9754-2s-512": { sockets: "2 x 256: 0,1", numa: "8 x 64", l3: "32 x 16", cores: "256 x 2" },
  "xeon-16s-1536": { sockets: `16 x 96: ${SIXTEEN}`, numa: "32 x 48", l3: "16 x 96", cores: "768 x 2" },
  "core-ultra-7-155h": {
    sockets: "1 x 22: 0",
    numa: "1 x 22",
    l3: "1 x 20",
    cores: "6 x 2, 10 x 1",
    clusters: "2 x 4, 7 x 2",
    classes: "performance 12, efficiency 8, low-power 2",
    unknowns: "the kernel tells no level 3 cache of CPUs 20-21",
  },
  "dgx-gb10": {
    sockets: "1 x 20: 36",
    numa: "1 x 20",
    l3: "2 x 10",
    cores: "20 x 1",
    classes: "efficiency 10, performance 10",
  },
  "ryzen-hx370": {
    sockets: "1 x 24: 0",
    numa: "1 x 24",
    l3: "1 x 8, 1 x 16",
    cores: "12 x 2",
    classes: "performance 8, efficiency 16",
  },
  "vm-without-caches": {
    sockets: "4 x 1: 0,1,2,3",
    cores: "4 x 1",
    unknowns: "the kernel tells no NUMA node of CPUs 0-3; the kernel tells no level 3 cache of CPUs 0-3",
  },
  "one-cpu": {
    sockets: "1 x 1: 0",
    cores: "1 x 1",
    unknowns: "the kernel tells no NUMA node of CPUs 0; the kernel tells no level 3 cache of CPUs 0",
  },
};

describe("the machines", () => {
  it("are all expected here", () => {
    expect(Object.keys(EXPECTED).sort()).to.deep.equal(MACHINES);
  });

  for (const name of MACHINES) {
    describe(name, () => {
      const machine = read(name);

      it("is what its makers say", () => {
        const found = summary(machine);
        const plain = { numa: "", l3: "", clusters: "", classes: `standard ${machine.cpus.length}`, unknowns: "" };
        const expected = { ...plain, ...EXPECTED[name] };
        expect({ ...found, clusters: sortedText(found["clusters"]) }).to.deep.equal({
          ...expected,
          clusters: sortedText(expected.clusters),
        });
      });

      it("has every online CPU in one core, one socket, and where they are known one node and one cache of a level", () => {
        for (const units of [machine.cores, machine.sockets]) {
          expect(CpuSet.union(units.map((one) => one.cpus)).equals(machine.online)).to.equal(true);
          expect(units.reduce((n, one) => n + one.cpus.size, 0)).to.equal(machine.online.size);
        }
        const kinds = new Set(machine.caches.map((cache) => `${cache.level}${cache.type}`));
        const groups = [...kinds].map((kind) => machine.caches.filter((one) => `${one.level}${one.type}` === kind));
        for (const units of [machine.numaNodes, ...groups])
          expect(CpuSet.union(units.map((one) => one.cpus)).size).to.equal(
            units.reduce((n, one) => n + one.cpus.size, 0),
          );
      });

      it("comes back equal from its own overlay", () => {
        const text = printTopology(SysfsOverlay.parse(overlayOf(name), undefined), "overlay", "a test");
        expect(readMachine(SysfsOverlay.parse(text, undefined))).to.deep.equal(machine);
      });

      it("has a tree of few lines, and JSON with every CPU", () => {
        const tree = SysfsOverlay.parse(overlayOf(name), undefined);
        const text = printTopology(tree, "tree", "");
        expect(text.split("\n").length).to.be.lessThan(60);
        expect(text).to.match(new RegExp(`^Machine: ${machine.online.size} CPU`));
        const json = JSON.parse(printTopology(tree, "json", "")) as { online: string; cpus: { id: number }[] };
        expect(CpuSet.from(json.cpus.map((cpu) => cpu.id)).toString()).to.equal(json.online);
      });
    });
  }

  it("tells core classes by CPU", () => {
    const of = (name: string, type: string): string =>
      CpuSet.from(
        read(name)
          .cpus.filter((cpu) => cpu.coreType === type)
          .map((cpu) => cpu.id),
      ).toString();
    expect(of("core-ultra-7-155h", "low-power")).to.equal("20-21");
    expect(of("dgx-gb10", "performance")).to.equal("5-9,15-19");
    expect(of("ryzen-hx370", "efficiency")).to.equal("4-11,16-23");
  });

  it("tells distances, also to nodes without CPUs and of sparse ids", () => {
    expect(read("power9-2s-smt8").numaNodes.map((node) => [node.id, [...node.distances]])).to.deep.equal([
      [
        0,
        [
          [0, 10],
          [8, 40],
        ],
      ],
      [
        8,
        [
          [0, 40],
          [8, 10],
        ],
      ],
    ]);
    expect(read("grace-gb200-34n").numaNodes[1]?.distances.get(33)).to.equal(12);
  });
});

function sortedText(text: string | undefined): string {
  return (text ?? "").split(", ").sort().join(", ");
}
