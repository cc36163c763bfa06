import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { readPcieRoots } from "../../src/slices/pcieroots.ts";
import { planDevices, type DevicePlan } from "../../src/slices/plan.ts";
import { planSlices } from "../../src/slices/slices.ts";
import { SysfsOverlay } from "../../src/sysfs/overlay.ts";
import { readMachine } from "../../src/topology/read.ts";
import { overlay, twoSockets } from "../topology/machines.ts";

const affinity = (root: string): string => `devices/pci${root}/pci_bus/${root}/cpulistaffinity`;
const plan = (files: Readonly<Record<string, string>>, lists: boolean): DevicePlan => {
  const tree = SysfsOverlay.parse(`${twoSockets()}\n${overlay(files)}`, undefined);
  return planDevices(readMachine(tree), {
    mode: "grouped",
    groupBy: "numanode",
    reserved: CpuSet.empty,
    keepShared: 0,
    pcieRoots: readPcieRoots(tree),
    pcieRootLists: lists,
  });
};
const TWO_AND_ONE = {
  [affinity("0000:00")]: "0-3,8-11\n",
  [affinity("0000:40")]: "0-3,8-11\n",
  [affinity("0000:80")]: "4-7,12-15\n",
};
const rootOf = ({ devices }: DevicePlan): unknown[] =>
  devices.map((device) => device.attributes["resource.kubernetes.io/pcieRoot"]);

describe("PCIe roots", () => {
  it("are a string where there is one, and left out and said where there are more", () => {
    const found = plan(TWO_AND_ONE, false);
    expect(rootOf(found)).to.deep.equal([undefined, { string: "pci0000:80" }]);
    expect(found.problems.join()).to.include("left out of cpudevnuma000").and.include("--pcie-root-lists");
  });

  it("are a list where lists are wanted, in slices of 64 devices", () => {
    const found = plan(TWO_AND_ONE, true);
    expect(rootOf(found)).to.deep.equal([{ strings: ["pci0000:00", "pci0000:40"] }, { string: "pci0000:80" }]);
    const many = Array.from({ length: 130 }, (_, n) => ({ ...found.devices[0], name: `d${n}` }));
    const slices = planSlices(many as never, { driver: "dra.cpu", nodeName: "n", nodeUid: "u" }, 1);
    expect(slices.map((slice) => slice.spec.devices.length)).to.deep.equal([64, 64, 2]);
  });

  it("that are bad are said and in no device; other names are no roots", () => {
    const found = plan(
      {
        [affinity("0000:00")]: "3-1",
        [affinity("0000:20")]: "",
        "devices/pci0000:60/uevent": "",
        [affinity("10000:e0")]: "0-15",
        [affinity("0000:80")]: "4-7,12-15",
      },
      false,
    );
    expect(rootOf(found)).to.deep.equal([undefined, { string: "pci0000:80" }]);
    for (const root of ["pci0000:00", "pci0000:20", "pci0000:60"])
      expect(found.problems.filter((one) => one.includes(`root ${root} is in no device`)).length, root).to.equal(1);
    expect(plan({}, false).problems.join()).to.include("no PCIe root was found");
  });
});
