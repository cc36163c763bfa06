import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { SysfsDirectory, SysfsOverlay } from "../../src/sysfs/tree.ts";
import { readMachine, TopologyFault } from "../../src/topology/read.ts";
import { overlay, twoSockets } from "./machines.ts";

const machineOf = (text: string): ReturnType<typeof readMachine> => readMachine(SysfsOverlay.parse(text, undefined));

describe("topology", () => {
  it("keys cores by their siblings, because core ids repeat in each socket", () => {
    const machine = machineOf(twoSockets());
    expect(machine.cores.map((core) => core.cpus.toString())).to.deep.equal([
      "0,8",
      "1,9",
      "2,10",
      "3,11",
      "4,12",
      "5,13",
      "6,14",
      "7,15",
    ]);
    expect(machine.numaNodes.map((node) => [node.id, node.cpus.toString(), node.distances.get(1)])).to.deep.equal([
      [0, "0-3,8-11", 21],
      [1, "4-7,12-15", 10],
    ]);
    expect(machine.sockets.map((socket) => socket.cpus.toString())).to.deep.equal(["0-3,8-11", "4-7,12-15"]);
    expect(machine.l3s.map((l3) => l3.cpus.toString())).to.deep.equal(["0-3,8-11", "4-7,12-15"]);
    expect(machine.smt).to.equal(true);
    expect(machine.unknowns).to.deep.equal([]);
  });

  it("keeps cores apart by ids where there is no sibling list", () => {
    const machine = machineOf(twoSockets({ siblingLists: false }));
    expect(machine.cores.map((core) => core.cpus.toString())).to.deep.equal([
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

  it("drops no CPU for a missing cache, node or core id: it says what is unknown, once", () => {
    const machine = machineOf(overlay({ "devices/system/cpu/online": "0-3", "devices/system/cpu/possible": "0-3" }));
    expect(machine.cpus.length).to.equal(4);
    expect(machine.cores.length).to.equal(4);
    expect(machine.unknowns.join("\n"))
      .to.include("no level 3 cache of CPUs 0-3")
      .and.include("no NUMA node of CPUs 0-3");
    expect(machine.unknowns.length).to.equal(4);
  });

  it("leaves offline CPUs out, also of their siblings' cores", () => {
    const machine = machineOf(twoSockets({ online: "0-7,9-15" }));
    expect(machine.cores[0]?.cpus.toString()).to.equal("0");
    expect(machine.online.has(8)).to.equal(false);
    expect(machine.present.has(8)).to.equal(true);
  });

  const online = "/sys/devices/system/cpu/online";
  const cure = "and /proc/cpuinfo names none; give the host's /sys with --sysfs-root";
  for (const [what, text, says] of [
    [
      "no list of online CPUs",
      overlay({ "devices/system/cpu/present": "0-3" }),
      `Cannot tell the machine's CPUs: ${online} does not exist, ${cure}`,
    ],
    [
      "an empty one",
      overlay({ "devices/system/cpu/online": "" }),
      `Cannot use ${online}: it names no CPU; a list such as 0-7 is wanted`,
    ],
    [
      "a garbled one",
      overlay({ "devices/system/cpu/online": "zero" }),
      `Cannot tell the machine's CPUs: ${online} holds no list of CPUs: "zero", ${cure}`,
    ],
  ] as const) {
    it(`says that ${what} cannot be used, and where`, () => {
      expect(() => machineOf(text))
        .to.throw(TopologyFault)
        .with.property("message", says);
    });
  }

  it("tells a file that cannot be read from one that is not there: why, and where it really lies", () => {
    const root = mkdtempSync(join(tmpdir(), "sysfs-"));
    const cpu = join(root, "devices/system/cpu");
    const node = join(root, "devices/system/node");
    mkdirSync(join(cpu, "cpu0/topology"), { recursive: true });
    mkdirSync(join(node, "node0"), { recursive: true });
    // Permissions do not stop root; a link to itself and a directory in the file's place do.
    symlinkSync("online", join(cpu, "online"));
    expect(() => readMachine(new SysfsDirectory(root)))
      .to.throw(TopologyFault)
      .with.property(
        "message",
        `Cannot tell the machine's CPUs: ${cpu}/online cannot be read (ELOOP), and ${tmpdir()}/proc/cpuinfo names none; give the host's /sys with --sysfs-root`,
      );
    rmSync(join(cpu, "online"));
    writeFileSync(join(cpu, "online"), "0\n");
    symlinkSync("core_id", join(cpu, "cpu0/topology/core_id"));
    symlinkSync("cache", join(cpu, "cpu0/cache"));
    mkdirSync(join(node, "node0/cpulist"));
    const { unknowns } = readMachine(new SysfsDirectory(root));
    rmSync(root, { recursive: true });
    expect(unknowns.filter((one) => one.includes("cannot be read"))).to.deep.equal([
      `CPUs 0: ${cpu}/cpuN/cache cannot be read (ELOOP)`,
      "CPUs 0: topology/core_id cannot be read (ELOOP)",
      `${node}/node0/cpulist cannot be read (EISDIR)`,
    ]);
  });

  it("tells core classes: Intel hybrid, and ARM capacities", () => {
    const intel = machineOf(
      overlay({ "devices/system/cpu/online": "0-3", "devices/cpu_core/cpus": "0-1", "devices/cpu_atom/cpus": "2-3" }),
    );
    expect(intel.cpus.map((cpu) => cpu.coreType)).to.deep.equal([
      "performance",
      "performance",
      "efficiency",
      "efficiency",
    ]);
    const arm = machineOf(
      overlay({
        "devices/system/cpu/online": "0-1",
        "devices/system/cpu/cpu0/cpu_capacity": "446",
        "devices/system/cpu/cpu1/cpu_capacity": "1024",
      }),
    );
    expect(arm.cpus.map((cpu) => cpu.coreType)).to.deep.equal(["efficiency", "performance"]);
  });

  it("agrees with lscpu about this machine", function () {
    let text: string;
    try {
      text = execFileSync("lscpu", ["-p=CPU,SOCKET,NODE"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    } catch {
      console.log("      skipped: there is no lscpu here");
      this.skip();
    }
    const machine = readMachine(new SysfsDirectory("/sys"));
    const rows = text
      .split("\n")
      .filter((line) => /^\d/.test(line))
      .map((line) => line.split(","));
    expect(machine.online.toString()).to.equal(CpuSet.from(rows.map((row) => Number(row[0]))).toString());
    for (const [cpu, , node] of rows) {
      if (node !== "") expect(machine.cpus.find((one) => one.id === Number(cpu))?.numa).to.equal(Number(node));
    }
  });
});

describe("a sysfs overlay", () => {
  for (const [what, text, says] of [
    ["a path outside of /sys", '"/proc/x": "1"', "not below /sys/"],
    ["/sys itself", '"/sys/": "1"', "not below /sys/"],
    ["an unclean path", '"/sys/a/../b": "1"', "not clean"],
    ["a number", '"/sys/a": 1', "no text"],
    ["a list", '["/sys/a"]', "no mapping"],
    ["a file with something below it", '"/sys/a": "1"\n"/sys/a/b": "2"', "is a file"],
    [
      "a CPU in two nodes",
      '"/sys/devices/system/cpu/cpu0/node0": ""\n"/sys/devices/system/cpu/cpu0/node1": ""',
      "is in",
    ],
    ["a doubled key", '"/sys/a": "1"\n"/sys/a": "2"', "two entries are"],
  ] as const) {
    it(`refuses ${what}`, () => {
      expect(() => SysfsOverlay.parse(text, undefined)).to.throw(Error, says);
    });
  }

  it("wins over its base, merges listings, and hides the base's node of a CPU it places", () => {
    const base = SysfsOverlay.parse(
      '"/sys/a/x": "1"\n"/sys/a/y": "2"\n"/sys/devices/system/cpu/cpu0/node0": ""',
      undefined,
    );
    const over = SysfsOverlay.parse('"/sys/a/y": "3"\n"/sys/a/z": "4"\n"/sys/devices/system/cpu/cpu0/node1": ""', base);
    expect(over.list("/sys/a")).to.deep.equal(["x", "y", "z"]);
    expect([over.read("/sys/a/x"), over.read("/sys/a/y")]).to.deep.equal(["1", "3"]);
    expect(over.list("/sys/devices/system/cpu/cpu0")).to.deep.equal(["node1"]);
  });
});
