import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import fc from "fast-check";
import { machine as overlayOf, MACHINES } from "../../../e2e/machines/build.ts";
import { groupsOf, GROUP_BY } from "../../src/slices/groups.ts";
import { planDevices, type DeviceOptions } from "../../src/slices/plan.ts";
import { SysfsOverlay } from "../../src/sysfs/overlay.ts";
import type { Machine } from "../../src/topology/machine.ts";
import { readMachine } from "../../src/topology/read.ts";
import { twoSockets } from "../topology/machines.ts";

const read = (text: string): Machine => readMachine(SysfsOverlay.parse(text, undefined));
const machines = MACHINES.filter((name) => !name.includes("1536")).map((name) => read(overlayOf(name)));
const options = fc.record({
  machine: fc.constantFrom(...machines),
  mode: fc.constantFrom("grouped" as const, "individual" as const),
  groupBy: fc.constantFrom(...GROUP_BY),
  keepShared: fc.nat(4),
  seed: fc.array(fc.nat(600), { maxLength: 60 }),
});

describe("devices of any machine, whatever is reserved", () => {
  it("hold every offered CPU once, and no other", () => {
    fc.assert(
      fc.property(options, ({ machine, seed, ...rest }) => {
        const reserved = CpuSet.from(seed).intersect(machine.online);
        const plan = planDevices(machine, { ...rest, reserved });
        const sets = plan.devices.map((device) => plan.candidates.get(device.name) ?? CpuSet.empty);
        const union = CpuSet.union(sets);
        expect(sets.reduce((sum, set) => sum + set.size, 0)).to.equal(union.size);
        expect(union.toString()).to.equal(machine.online.minus(reserved).minus(plan.keepShared).toString());
        expect(plan.keepShared.size).to.equal(Math.min(rest.keepShared, machine.online.minus(reserved).size));
        expect(new Set(plan.devices.map((device) => device.name)).size).to.equal(plan.devices.length);
      }),
      { numRuns: 60 },
    );
  });

  it("never give a name to another part of the machine", () => {
    for (const online of ["0-15", "0-3,5,8-12", "4-7,13", "1,9"]) {
      const machine = read(twoSockets({ online }));
      const whole = read(twoSockets());
      const homes = new Map(
        GROUP_BY.flatMap((groupBy) => groupsOf(whole, groupBy)).map(({ name, cpus }) => [name, cpus]),
      );
      for (const reserved of ["", "0,8", "4-7"]) {
        const base = { mode: "grouped", groupBy: "numanode", keepShared: 0 } satisfies Partial<DeviceOptions>;
        const { candidates } = planDevices(machine, { ...base, reserved: CpuSet.parse(reserved) });
        for (const [name, cpus] of candidates) {
          const home = homes.get(name) ?? CpuSet.of(Number(/^cpudev(\d+)$/.exec(name)?.[1]));
          expect(cpus.isSubsetOf(home), `${name} ${cpus.toString()}`).to.equal(true);
        }
      }
    }
  });

  it("are in an order in which the first free ones are whole cores", () => {
    for (const machine of machines) {
      const { devices } = planDevices(machine, {
        mode: "individual",
        groupBy: "numanode",
        reserved: CpuSet.empty,
        keepShared: 1,
      });
      const order = devices.map((device) => Number(device.name.slice("cpudev".length)));
      let last = -1;
      const seen = new Set<number>();
      for (const id of order) {
        const core = machine.cpus.find((cpu) => cpu.id === id)?.core ?? -1;
        if (core !== last) expect(seen.has(core), `core of CPU ${id} comes twice`).to.equal(false);
        seen.add(core);
        last = core;
      }
    }
  });
});
