import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { choose, readClaim, type ClaimReading, type Offer } from "../../src/claims/decide.ts";
import type { AllocationResult, ResourceClaim } from "../../src/claims/resourceclaim.ts";
import { SysfsOverlay } from "../../src/sysfs/tree.ts";
import { readMachine } from "../../src/topology/read.ts";
import { twoSockets } from "../topology/machines.ts";

const offer: Offer = {
  driver: "dra.cpu",
  pool: "n",
  machine: readMachine(SysfsOverlay.parse(twoSockets(), undefined)),
  candidates: new Map([
    ["cpudevnuma000", CpuSet.parse("1-3,8-11")],
    ["cpudevnuma001", CpuSet.parse("4-7,12-15")],
  ]),
};
const result = (more: Partial<AllocationResult> = {}, cpus = "2"): AllocationResult => ({
  request: "cpus",
  driver: "dra.cpu",
  pool: "n",
  device: "cpudevnuma001",
  consumedCapacity: { "dra.cpu/cpu": cpus },
  ...more,
});
const claim = (...results: AllocationResult[]): ResourceClaim => ({
  metadata: { name: "c", namespace: "default", uid: "u" },
  status: { allocation: { devices: { results } }, reservedFor: [{ resource: "pods", name: "p", uid: "pu" }] },
});
const said = (reading: ClaimReading): string => (reading.kind === "refused" ? reading.message : "");

describe("what a claim wants", () => {
  it("is read from its allocation", () => {
    expect(
      readClaim(claim(result({ request: "cpus/small", shareID: "s" }), result({ driver: "gpu.example.com" })), offer),
    ).to.deep.equal({
      kind: "wanted",
      claim: { uid: "u", namespace: "default", name: "c" },
      consumers: [{ resource: "pods", uid: "pu", name: "p" }],
      results: [{ request: "cpus", pool: "n", device: "cpudevnuma001", shareId: "s", count: 2 }],
    });
  });
  it("is refused in a sentence where all results are another driver's", () => {
    expect(said(readClaim(claim(result({ driver: "gpu.example.com" })), offer))).to.equal(
      "Cannot prepare claim default/c: none of its allocated devices is of driver dra.cpu (they are of gpu.example.com)",
    );
  });
  it("takes no CPU with admin access", () => {
    expect(readClaim(claim(result({ adminAccess: true }, "x")), offer)).to.have.nested.property("results[0].count", 0);
  });
  for (const [what, reading, says] of [
    [
      "no allocation",
      readClaim({ metadata: { name: "c", namespace: "default", uid: "u" } }, offer),
      "it is not allocated",
    ],
    ["half a CPU", readClaim(claim(result({}, "500m")), offer), "exclusive CPUs come whole"],
    ["one and a half", readClaim(claim(result({}, "1500m")), offer), "exclusive CPUs come whole"],
    ["none", readClaim(claim(result({}, "0")), offer), "at least 1 CPU"],
    ["less than none", readClaim(claim(result({}, "-1")), offer), "at least 1 CPU"],
    ["words", readClaim(claim(result({}, "two")), offer), "no number of CPUs"],
    [
      "no capacity",
      readClaim(claim({ request: "cpus", driver: "dra.cpu", pool: "n", device: "cpudevnuma001" }), offer),
      "DRAConsumableCapacity",
    ],
    [
      "a device of nobody",
      readClaim(claim(result({ device: "cpudev9" })), offer),
      "offers no device cpudev9 (it offers cpudevnuma000, cpudevnuma001)",
    ],
    ["another node's device", readClaim(claim(result({ pool: "m" })), offer), "is of pool m; this node's pool is n"],
  ] as const) {
    it(`is refused in a sentence: ${what}`, () => {
      expect(said(reading)).to.include(says).and.include("claim default/c");
    });
  }
});

describe("choosing for a claim", () => {
  const own = (request: string, device: string, count: number): Parameters<typeof choose>[0][number] => ({
    request,
    pool: "n",
    device,
    shareId: undefined,
    count,
  });
  it("gives every request its own share, inside its device", () => {
    const answer = choose(
      [own("a", "cpudevnuma001", 2), own("b", "cpudevnuma001", 1), own("c", "cpudevnuma000", 2)],
      offer,
      CpuSet.parse("0-15"),
    );
    expect(
      answer.kind === "chosen" && answer.shares.map((share) => `${share.request} ${share.cpus.toString()}`),
    ).to.deep.equal(["a 4,12", "b 5", "c 1,9"]);
  });
  it("names the request that finds too few", () => {
    expect(
      choose([own("a", "cpudevnuma001", 8), own("b", "cpudevnuma001", 1)], offer, CpuSet.parse("0-15")),
    ).to.deep.include({
      kind: "shortfall",
      because: "request b, device cpudevnuma001: 1 CPUs are wanted and 0 are free",
    });
  });
});
