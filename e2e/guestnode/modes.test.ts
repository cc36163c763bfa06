import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import type { Oracle, Unit } from "../runtime/guest/oracle.ts";
import { template, type Device, type Wanted } from "./objects.ts";
import { world } from "./suite.ts";
import { seconds, SLOW } from "./world.ts";

interface Mode {
  readonly name: string;
  /** Of devices' names. */
  readonly prefix: string;
  /** Of `config.driver`. */
  readonly settings: Readonly<Record<string, string>>;
  /** What a device is; all CPUs where not given. */
  readonly unit?: Unit | "cpu";
  readonly claim: Wanted & { readonly size: number };
  /** The claim's CPUs all lie in one of these. */
  readonly within?: Unit;
  /** A claim that the scheduler finds no device for. */
  readonly tooLarge: Wanted;
}

/** The machine has 16 CPUs; the first one is kept for the shared pool. */
const MODES: readonly Mode[] = [
  {
    name: "numanode",
    prefix: "cpudevnuma",
    settings: { groupBy: "numanode" },
    unit: "node",
    claim: { cpus: 8, size: 8 },
    within: "node",
    tooLarge: { cpus: 9 },
  },
  {
    name: "socket",
    prefix: "cpudevsocket",
    settings: { groupBy: "socket" },
    unit: "socket",
    claim: { cpus: 6, size: 6 },
    within: "socket",
    tooLarge: { cpus: 9 },
  },
  {
    name: "l3cache",
    prefix: "cpudevl3",
    settings: { groupBy: "l3cache" },
    unit: "l3",
    claim: { cpus: 4, size: 4 },
    within: "l3",
    tooLarge: { cpus: 5 },
  },
  {
    name: "individual",
    prefix: "cpudev0",
    settings: { cpuDeviceMode: "individual" },
    unit: "cpu",
    claim: { count: 4, same: "dra.cpu/cacheL3ID", size: 4 },
    within: "l3",
    tooLarge: { count: 5, same: "dra.cpu/cacheL3ID" },
  },
  {
    name: "machine",
    prefix: "cpudevmachine",
    settings: { groupBy: "machine" },
    claim: { cpus: 10, size: 10 },
    tooLarge: { cpus: 16 },
  },
];

describe("devices of a node of 16 CPUs, cgroup v2", function () {
  this.timeout(2 * SLOW);
  this.bail(true);
  let oracle: Oracle;
  let offered: CpuSet;

  before(async () => {
    oracle = await world.large();
    expect(oracle.units("l3").map(String)).to.deep.equal(["0-3", "4-7", "8-11", "12-15"]);
    offered = oracle.online.minus(CpuSet.of(oracle.online.first));
  });

  const wanted = (unit: Mode["unit"]): CpuSet[] => {
    if (unit === undefined) return [offered];
    if (unit === "cpu") return offered.toArray().map((cpu) => CpuSet.of(cpu));
    return oracle.units(unit).map((cpus) => cpus.intersect(offered));
  };

  // Each takes a minute and a half: the product starts anew, in an emulated machine.
  for (const mode of process.env["DRACPU_FULL"] === undefined ? MODES.slice(0, 1) : MODES) {
    describe(`by ${mode.name}`, () => {
      it("are what the machine has, when helm says so", async () => {
        const began = Date.now();
        const settings = Object.entries(mode.settings).map(([key, value]) => `${key}=${value}`);
        await world.settings(...settings);
        const groups = wanted(mode.unit).map(String).toSorted();
        const devices = await world.devicesBecome("large", (found) => {
          const isNamed = found.every((one) => one.name.startsWith(mode.prefix));
          return isNamed && JSON.stringify(found.map(cpusOf).toSorted()) === JSON.stringify(groups);
        });
        console.log(`      offered after ${seconds(began)}`);
        for (const one of devices)
          if (mode.unit !== "cpu")
            expect(one.capacity?.["dra.cpu/cpu"]?.value).to.equal(String(CpuSet.parse(cpusOf(one)).size));
      });

      it("give a pod its CPUs close together, keep others off, and no more than there is", async () => {
        await world.cluster.apply(
          template(`of-${mode.name}`, mode.claim),
          template(`over-${mode.name}`, mode.tooLarge),
        );
        await world.createPods(["claimed"], `of-${mode.name}`);
        await world.createPods(["too-large"], `over-${mode.name}`);
        const cpus = CpuSet.parse((await world.firsts(["claimed"])).get("claimed") ?? "");
        expect(cpus.size).to.equal(mode.claim.size);
        if (mode.within !== undefined)
          expect(
            oracle.units(mode.within).filter((one) => cpus.isSubsetOf(one)).length,
            `${cpus.toString()} in one`,
          ).to.equal(1);
        if (mode.claim.cpus !== undefined) {
          const device = wanted(mode.unit).find((one) => cpus.isSubsetOf(one)) ?? CpuSet.empty;
          const best = oracle.best("packed", device, cpus.size);
          expect(oracle.quality("packed", cpus), cpus.toString()).to.deep.equal(best);
        }
        const { held, masksOf } = await world.settled("large");
        expect(held.toString()).to.equal(cpus.toString());
        expect(masksOf("shared")).to.deep.equal([oracle.online.minus(cpus).toString()]);
        // By the kernel, with the rights that the chart gives the agent; masks would look the same.
        expect(await world.partitions("large")).to.deep.equal([cpus.toString()]);
        expect(await world.whyPending("too-large")).to.include("cannot allocate all claims");
        await world.remove("claimed", "too-large");
        await world.empty(oracle.online);
      });
    });
  }
});

function cpusOf(device: Device): string {
  const { "dra.cpu/cpuID": cpu, "dra.cpu/cpus": cpus } = device.attributes;
  return cpu?.int === undefined ? (cpus?.string ?? "") : String(cpu.int);
}
