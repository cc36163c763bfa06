import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { cpuCapacity } from "../../src/slices/capacity.ts";
import { planDevices, type DevicePlan } from "../../src/slices/plan.ts";
import { planSlices } from "../../src/slices/slices.ts";
import { SysfsOverlay } from "../../src/sysfs/overlay.ts";
import { readMachine } from "../../src/topology/read.ts";
import { overlay, twoSockets } from "../topology/machines.ts";

const plan = (reserved = "", keepShared = 0, text = twoSockets()): DevicePlan =>
  planDevices(readMachine(SysfsOverlay.parse(text, undefined)), {
    mode: "grouped",
    groupBy: "numanode",
    reserved: CpuSet.parse(reserved),
    keepShared,
  });
const OWNER = { driver: "dra.cpu", nodeName: "n", nodeUid: "u" };

describe("devices", () => {
  it("are one for each NUMA node, named after it", () => {
    const { devices, candidates } = plan();
    expect(devices.map((one) => one.name)).to.deep.equal(["cpudevnuma000", "cpudevnuma001"]);
    expect(candidates.get("cpudevnuma001")?.toString()).to.equal("4-7,12-15");
    expect(devices[1]).to.deep.include({
      allowMultipleAllocations: true,
      capacity: { "dra.cpu/cpu": { value: "8", requestPolicy: { default: "1", validRange: { min: "1", step: "1" } } } },
    });
    expect(devices[1]?.attributes).to.deep.equal({
      "resource.kubernetes.io/numaNode": { int: 1 },
      "dra.cpu/numaNodeID": { int: 1 },
      "dra.net/numaNode": { int: 1 },
      "dra.cpu/smtEnabled": { bool: true },
      "dra.cpu/numCPUs": { int: 8 },
      "dra.cpu/numCores": { int: 4 },
      "dra.cpu/numFullCores": { int: 4 },
      "dra.cpu/socketID": { int: 1 },
      "dra.cpu/dieID": { int: 0 },
      "dra.cpu/cacheL3ID": { int: 1 },
      "dra.cpu/coreType": { string: "standard" },
      "dra.cpu/isolated": { bool: false },
      "dra.cpu/numIsolatedCPUs": { int: 0 },
      "dra.cpu/cpus": { string: "4-7,12-15" },
    });
  });

  it("keep their names when CPUs are reserved or withheld", () => {
    const { devices, candidates, keepShared } = plan("0-3,8-11", 2);
    expect(devices.map((one) => one.name)).to.deep.equal(["cpudevnuma001"]);
    expect(keepShared.toString()).to.equal("4,12");
    expect(candidates.get("cpudevnuma001")?.toString()).to.equal("5-7,13-15");
  });

  it("have a policy that the API server takes", () => {
    expect(cpuCapacity({ size: 1, step: 1 }).requestPolicy).to.deep.equal({ default: "1", validValues: ["1"] });
    expect(cpuCapacity({ size: 2, step: 1 }).requestPolicy).to.deep.equal({
      default: "1",
      validRange: { min: "1", step: "1" },
    });
  });

  it("come in steps of a core where the node gives whole cores, and count no core that is not whole", () => {
    const { devices, candidates, problems } = planDevices(readMachine(SysfsOverlay.parse(twoSockets(), undefined)), {
      mode: "grouped",
      groupBy: "numanode",
      reserved: CpuSet.parse("0,4-6,15"),
      keepShared: 0,
      wholeCores: true,
    });
    expect(devices.map((one) => one.capacity?.["dra.cpu/cpu"])).to.deep.equal([
      { value: "6", requestPolicy: { default: "2", validRange: { min: "2", step: "2" } } },
    ]);
    expect(problems.join(" ")).to.include("cpudevnuma001 is not offered: none of its cores is whole (CPUs 7,12-14)");
    expect(candidates.get("cpudevnuma000")?.toString()).to.equal("1-3,8-11");
    expect(cpuCapacity({ size: 2, step: 2 }).requestPolicy).to.deep.equal({ default: "2", validValues: ["2"] });
  });

  it("of one mode are known in every other, so that a claim keeps its device when the mode is changed", () => {
    const { candidates } = plan();
    expect(candidates.get("cpudevsocket001")?.toString()).to.equal("4-7,12-15");
    expect(candidates.get("cpudevl3000")?.toString()).to.equal("0-3,8-11");
    expect(candidates.get("cpudevmachine")?.toString()).to.equal("0-15");
    expect(candidates.get("cpudev013")?.toString()).to.equal("13");
  });

  it("leave a list of CPUs out that is longer than an attribute may be", () => {
    const scattered = Array.from({ length: 40 }, (_, n) => n * 2).join(",");
    const { devices } = plan(
      "",
      0,
      overlay({ "devices/system/cpu/online": scattered, "devices/system/node/node0/cpulist": scattered }),
    );
    expect(devices[0]?.attributes).not.to.have.property("dra.cpu/cpus");
  });

  it("say it when none is left, and when a reserved CPU does not exist", () => {
    expect(plan("0-15").problems.join(" ")).to.include("no CPU is left to offer");
    expect(plan("99").problems.join(" ")).to.include(
      "reserved CPUs 99 (--reserved-cpus) do not exist on this machine; it has CPUs 0-15",
    );
  });

  it("are one where the machine tells no NUMA nodes", () => {
    expect(
      plan("", 1, overlay({ "devices/system/cpu/online": "0-3" }))
        .candidates.get("cpudevnuma000")
        ?.toString(),
    ).to.equal("1-3");
  });
});

describe("slices", () => {
  it("are owned by the Node, and one without devices is published where there is nothing to offer", () => {
    const [slice] = planSlices([], OWNER, 3);
    expect(slice).to.deep.equal({
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceSlice",
      metadata: {
        name: "00000-dra.cpu-n",
        ownerReferences: [{ apiVersion: "v1", kind: "Node", name: "n", uid: "u", controller: true }],
      },
      spec: {
        driver: "dra.cpu",
        nodeName: "n",
        pool: { name: "n", generation: 3, resourceSliceCount: 1 },
        devices: [],
      },
    });
  });
  it("hold at most 128 devices each, under names of at most 253 characters", () => {
    const many = Array.from({ length: 300 }, (_, n) => ({ name: `d${n}`, attributes: {} }));
    const slices = planSlices(many, { ...OWNER, nodeName: "n".repeat(253) }, 1);
    expect(slices.map((one) => one.spec.devices.length)).to.deep.equal([128, 128, 44]);
    expect(new Set(slices.map((one) => one.metadata.name)).size).to.equal(3);
    for (const one of slices) expect(one.metadata.name.length).to.be.at.most(253);
  });
});
