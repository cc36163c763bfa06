import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import type { Device, ResourceSlice } from "../../src/slices/device.ts";
import { devicesFor, dropped, refused, type Kept } from "../../src/slices/kept.ts";
import { planDevices } from "../../src/slices/plan.ts";
import { SysfsOverlay } from "../../src/sysfs/overlay.ts";
import { readMachine } from "../../src/topology/read.ts";
import { twoSockets } from "../topology/machines.ts";

const ALL: Kept = { shared: true, lists: true, taints: true, mapping: "1.36" };
const plan = planDevices(readMachine(SysfsOverlay.parse(twoSockets(), undefined)), {
  mode: "grouped",
  groupBy: "socket",
  reserved: CpuSet.empty,
  keepShared: 0,
});
const without = (field: keyof Device): Partial<Device>[] =>
  devicesFor(plan, ALL).map((device) => Object.fromEntries(Object.entries(device).filter(([key]) => key !== field)));

describe("what an API server keeps", () => {
  it("decides the form of the devices", () => {
    const form = (kept: Kept): Partial<Device> | undefined => devicesFor(plan, kept)[0];
    expect(form(ALL)?.nodeAllocatableResourceMappings).to.deep.equal({
      cpu: { capacityKey: "dra.cpu/cpu", allocationMultiplier: "1" },
    });
    expect(form({ ...ALL, mapping: "1.37" })?.nodeAllocatableResources).to.deep.equal({
      cpu: { mapping: { capacityKey: "dra.cpu/cpu", capacityMultiplier: "1" } },
    });
    expect(form({ ...ALL, shared: false })).to.deep.include({
      name: "cpudev000",
      nodeAllocatableResourceMappings: { cpu: { allocationMultiplier: "1" } },
    });
    expect(form({ ...ALL, mapping: "none" })).not.to.have.any.keys(
      "nodeAllocatableResources",
      "nodeAllocatableResourceMappings",
    );
  });

  it("is found by what comes back", () => {
    const sent = devicesFor(plan, ALL);
    expect(dropped(ALL, sent, sent)).to.equal(undefined);
    expect(dropped(ALL, sent, without("allowMultipleAllocations"))?.kept).to.deep.equal({ ...ALL, shared: false });
    const mapping = dropped(ALL, sent, without("nodeAllocatableResourceMappings"));
    expect(mapping?.kept).to.deep.equal({ ...ALL, mapping: "none" });
    expect(mapping?.sentence).to.include("DRANodeAllocatableResources");
    const taint = { key: "k", value: "v", effect: "NoSchedule" as const };
    const taints = dropped(ALL, devicesFor(plan, ALL, taint), sent);
    expect(taints?.kept).to.deep.equal({ ...ALL, taints: false });
    expect(taints?.sentence).to.include("DRADeviceTaints");
    expect(devicesFor(plan, { ...ALL, taints: false }, taint)).to.deep.equal(sent);
  });

  it("is found by refusals: the other name of the mapping is tried once, and nothing is sent again that was refused", () => {
    const sent = devicesFor(plan, ALL);
    const unknown =
      "failed to create typed patch object (…): .spec.devices[0].nodeAllocatableResourceMappings: field not declared in schema";
    const second = refused(ALL, sent, unknown);
    expect(second).to.deep.equal({ kept: { ...ALL, mapping: "1.37" }, sentence: "" });
    const third = refused(second?.kept ?? ALL, sent, unknown);
    expect(third?.kept.mapping).to.equal("none");
    expect(third?.sentence).to.include("DRANodeAllocatableResources");
    expect(refused(third?.kept ?? ALL, sent, unknown)).to.equal(undefined);
    const list = 'attributes[…]: Invalid value: "": exactly one value must be specified';
    expect(refused(ALL, sent, list), "no list was sent").to.equal(undefined);
    const listed = [{ name: "d", attributes: { a: { strings: ["x", "y"] } } }] as ResourceSlice["spec"]["devices"];
    expect(refused(ALL, listed, list)?.kept.lists).to.equal(false);
    expect(refused(ALL, sent, "etcd is away")).to.equal(undefined);
  });
});
