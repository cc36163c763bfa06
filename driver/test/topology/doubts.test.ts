import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import fc from "fast-check";
import { filesOf, type Layout } from "../../../e2e/machines/layout.ts";
import { printTopology } from "../../src/cli/topology.ts";
import { SysfsOverlay } from "../../src/sysfs/overlay.ts";
import type { Machine } from "../../src/topology/machine.ts";
import { readMachine, TopologyFault } from "../../src/topology/read.ts";
import { overlay } from "./machines.ts";

const CPU = "devices/system/cpu";
const NODE = "devices/system/node";
const read = (files: Readonly<Record<string, string>>): Machine =>
  readMachine(SysfsOverlay.parse(overlay(files), undefined));
const sets = (units: readonly { readonly cpus: CpuSet }[]): string[] => units.map((one) => one.cpus.toString());

describe("what the kernel says wrong", () => {
  it("a CPU in two NUMA nodes is in the lower one, and that is said", () => {
    const machine = read({
      [`${CPU}/online`]: "0-3",
      [`${NODE}/node0/cpulist`]: "0-2",
      [`${NODE}/node1/cpulist`]: "2-3",
    });
    expect(sets(machine.numaNodes)).to.deep.equal(["0-2", "3"]);
    expect(machine.unknowns).to.include("CPUs 2: NUMA nodes 0 and 1 both list them; node 0 is taken");
  });

  it("a list of siblings without the CPU itself is not believed", () => {
    const machine = read({
      [`${CPU}/online`]: "0-1",
      [`${CPU}/cpu0/topology/core_cpus_list`]: "1",
      [`${CPU}/cpu1/topology/core_cpus_list`]: "1",
      [`${CPU}/cpu0/topology/core_id`]: "0",
    });
    expect(sets(machine.cores)).to.deep.equal(["0", "1"]);
    expect(machine.unknowns).to.include("CPUs 0: the list of their siblings does not name the CPU itself");
  });

  it("siblings that contradict each other are disjoint cores, and that is said", () => {
    const machine = read({
      [`${CPU}/online`]: "0-2",
      [`${CPU}/cpu0/topology/core_cpus_list`]: "0-1",
      [`${CPU}/cpu1/topology/core_cpus_list`]: "1-2",
      [`${CPU}/cpu2/topology/core_cpus_list`]: "1-2",
    });
    expect(sets(machine.cores)).to.deep.equal(["0", "1-2"]);
    expect(machine.unknowns).to.include("CPUs 0: their core is shared, they say, with CPUs that do not say so");
  });

  it("one id for several level 3 caches is replaced, so that each has its own", () => {
    const files: Record<string, string> = { [`${CPU}/online`]: "0-3" };
    for (let cpu = 0; cpu < 4; cpu++) {
      files[`${CPU}/cpu${cpu}/cache/index3/level`] = "3";
      files[`${CPU}/cpu${cpu}/cache/index3/id`] = "0";
      files[`${CPU}/cpu${cpu}/cache/index3/shared_cpu_list`] = cpu < 2 ? "0-1" : "2-3";
    }
    const machine = read(files);
    expect(machine.l3s.map((l3) => [l3.id, l3.cpus.toString()])).to.deep.equal([
      [0, "0-1"],
      [2, "2-3"],
    ]);
    expect(machine.unknowns.join("\n")).to.include("one id for several");
  });

  it("huge, negative and garbled ids are unknown, each told once", () => {
    const machine = read({
      [`${CPU}/online`]: "0-2",
      [`${CPU}/cpu0/topology/core_id`]: "99999999999999999999",
      [`${CPU}/cpu1/topology/core_id`]: "-7",
      [`${CPU}/cpu2/topology/core_id`]: "zero",
      [`${CPU}/cpu0/topology/physical_package_id`]: "-1",
      [`${NODE}/node0/cpulist`]: "0-99999",
      [`${NODE}/node99999999999/cpulist`]: "0",
      [`${NODE}/node1/distance`]: "10 x",
    });
    expect(machine.cpus.map((cpu) => [cpu.coreId, cpu.socket, cpu.numa])).to.deep.equal([
      [-1, -1, -1],
      [-1, -1, -1],
      [-1, -1, -1],
    ]);
    expect(machine.unknowns).to.include.members([
      "CPUs 0-2: topology/core_id holds no id",
      "the kernel tells no socket of CPUs 0-2",
      '/sys/devices/system/node/node0/cpulist holds no list of CPUs: "0-99999"',
      "/sys/devices/system/node/node1/distance holds no distance to each of the 2 NUMA nodes",
    ]);
  });

  it("small differences between cores make no classes: favoured and preferred cores", () => {
    const files: Record<string, string> = { [`${CPU}/online`]: "0-7" };
    for (let cpu = 0; cpu < 8; cpu++) {
      files[`${CPU}/cpu${cpu}/cpufreq/amd_pstate_max_freq`] = String(5_880_000 - 125_000 * cpu);
      files[`${CPU}/cpu${cpu}/cpufreq/amd_pstate_prefcore_ranking`] = String(236 - 10 * cpu);
      files[`${CPU}/cpu${cpu}/acpi_cppc/highest_perf`] = String(236 - 10 * cpu);
    }
    expect(new Set(read(files).cpus.map((cpu) => cpu.coreType))).to.deep.equal(new Set(["standard"]));
  });
});

describe("/proc/cpuinfo", () => {
  const cpuinfo = (text: string): string => `"/proc/cpuinfo": ${JSON.stringify(text)}`;

  it("tells sockets and cores where sysfs is silent, and nothing where it speaks", () => {
    const text = [0, 1, 2, 3].map((id) => `processor\t: ${id}\nphysical id\t: ${id >> 1}\ncore id\t\t: ${id & 1}\n`);
    const files = { [`${CPU}/online`]: "0-3", [`${CPU}/cpu3/topology/core_id`]: "7" };
    const machine = readMachine(SysfsOverlay.parse(`${overlay(files)}\n${cpuinfo(text.join("\n"))}`, undefined));
    expect(sets(machine.sockets)).to.deep.equal(["0-1", "2-3"]);
    expect(machine.cpus.map((cpu) => cpu.coreId)).to.deep.equal([0, 1, 0, 7]);
    expect(sets(machine.cores)).to.deep.equal(["0", "1", "2", "3"]);
    expect(machine.unknowns.join()).not.to.match(/no (core|socket)/);
  });

  it("tells the CPUs where there is no list of online ones, and that is said", () => {
    const machine = readMachine(SysfsOverlay.parse(cpuinfo("processor: 0\nprocessor: 5\nprocessor: 99999"), undefined));
    expect(machine.online.toString()).to.equal("0,5");
    expect(machine.unknowns.join()).to.include("the CPUs are those of /proc/cpuinfo");
  });
});

describe("overlays that fold", () => {
  it("stand for one file of each id", () => {
    const tree = SysfsOverlay.parse('"/sys/a/b{0-1,8}/c": "x"\n', undefined);
    expect(tree.list("/sys/a")).to.deep.equal(["b0", "b1", "b8"]);
    expect(tree.read("/sys/a/b8/c")).to.equal("x");
  });

  for (const [what, text, says] of [
    ["a list that is none", '"/sys/a{x}": "1"', "neither a number nor a range"],
    ["two lists", '"/sys/a{0}/b{1}": "1"', "one list in braces"],
    ["an open brace", '"/sys/a{0": "1"', "one list in braces"],
    ["an entry that another one folds", '"/sys/a{0-3}": "1"\n"/sys/a2": "1"', "two entries"],
    ["a file of /proc", '"/proc/meminfo": "1"', "not below /sys/"],
  ] as const) {
    it(`refuse ${what}`, () => {
      expect(() => SysfsOverlay.parse(text, undefined)).to.throw(Error, says);
    });
  }

  it("read the same by the plain way and by YAML", () => {
    const plain = SysfsOverlay.parse('# a\n"/sys/a{0-1}": "1\\n\\"2\\""\n', undefined);
    const yaml = SysfsOverlay.parse('/sys/a{0-1}: |-\n  1\n  "2"\n', undefined);
    expect(plain.read("/sys/a1")).to.equal('1\n"2"');
    expect(yaml.read("/sys/a1")).to.equal('1\n"2"');
  });
});

const layouts: fc.Arbitrary<Layout> = fc.record({
  about: fc.constant("random"),
  sockets: fc.integer({ min: 1, max: 3 }),
  numaPerSocket: fc.integer({ min: 1, max: 2 }),
  coresPerNuma: fc.constantFrom(2, 4, 6),
  threads: fc.constantFrom(1, 2, 4, 8),
  numbering: fc.constantFrom("offset", "adjacent", "interleave"),
  coreIds: fc.constantFrom("repeat", "gaps", "unique", "cpu"),
  l3: fc.record({ per: fc.constantFrom(1, 2, "socket" as const), sizeKiB: fc.constant(4096), ids: fc.boolean() }),
  l2KiB: fc.constant(512),
  l1dKiB: fc.constant(32),
  memoryNodes: fc.integer({ min: 0, max: 2 }),
  near: fc.constant(12),
  far: fc.constant(20),
  arm: fc.boolean(),
});
const asOverlay = (files: ReadonlyMap<string, string>): string =>
  [...files].map(([path, text]) => `${JSON.stringify(path)}: ${JSON.stringify(text)}`).join("\n");
const GARBAGE = fc.constantFrom(
  "",
  "-1",
  "x",
  "99999999999",
  "3-1",
  "0-70000",
  "0",
  "7",
  "0-1",
  "(null)",
  "65535",
  "\u0000",
);

describe("random machines", function () {
  this.timeout(60_000);

  it("are what they were made of", () => {
    fc.assert(
      fc.property(layouts, (layout) => {
        const machine = readMachine(SysfsOverlay.parse(asOverlay(filesOf(layout)), undefined));
        const cores = layout.sockets * layout.numaPerSocket * layout.coresPerNuma;
        expect(machine.cores.map((core) => core.cpus.size)).to.deep.equal(Array(cores).fill(layout.threads));
        expect(machine.sockets.length).to.equal(layout.sockets);
        expect(machine.numaNodes.length).to.equal(layout.sockets * layout.numaPerSocket + (layout.memoryNodes ?? 0));
        expect(machine.unknowns).to.deep.equal([]);
      }),
      { numRuns: 60 },
    );
  });

  it("keep every CPU and come back from their overlay, whatever files are missing or garbled", () => {
    fc.assert(
      fc.property(
        layouts,
        fc.array(fc.tuple(fc.nat(), fc.option(GARBAGE, { nil: undefined })), { maxLength: 40 }),
        (layout, changes) => {
          const files = filesOf(layout);
          const online = files.get("/sys/devices/system/cpu/online") ?? "";
          const paths = [...files.keys()].filter((path) => !path.endsWith("/online"));
          for (const [n, text] of changes) {
            const path = paths[n % paths.length] ?? "";
            if (text === undefined) files.delete(path);
            else files.set(path, text);
          }
          const tree = SysfsOverlay.parse(asOverlay(files), undefined);
          const machine = readMachine(tree);
          expect(machine.cpus.map((cpu) => cpu.id)).to.deep.equal(CpuSet.parse(online).toArray());
          expect(machine.cores.reduce((n, core) => n + core.cpus.size, 0)).to.equal(machine.cpus.length);
          for (const cpu of machine.cpus) {
            expect(machine.cores[cpu.core]?.cpus.has(cpu.id)).to.equal(true);
            if (cpu.l3 >= 0) expect(machine.l3s[cpu.l3]?.cpus.has(cpu.id)).to.equal(true);
          }
          expect(new Set(machine.l3s.map((l3) => l3.id)).size).to.equal(machine.l3s.length);
          expect(new Set(machine.unknowns).size).to.equal(machine.unknowns.length);
          const again = printTopology(tree, "overlay", "a test");
          expect(readMachine(SysfsOverlay.parse(again, undefined))).to.deep.equal(machine);
          expect(() => printTopology(tree, "tree", "")).not.to.throw();
        },
      ),
      { numRuns: 150 },
    );
  });

  it("without any list of CPUs are refused with the file's name", () => {
    expect(() => readMachine(SysfsOverlay.parse("", undefined))).to.throw(TopologyFault, "/proc/cpuinfo");
  });
});
