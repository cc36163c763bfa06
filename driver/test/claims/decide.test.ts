import { expect } from "chai";
import { DEFAULT_POLICY } from "../../src/allocator/allocate.ts";
import { readClaim, readResults, type Offer, type Refused, type Wanted } from "../../src/claims/decide.ts";
import type { AllocationConfig, AllocationResult, ResourceClaim } from "../../src/claims/resourceclaim.ts";
import { offerOf } from "./offers.ts";

const offer: Offer = offerOf();
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
const withConfig = (results: AllocationResult[], ...config: AllocationConfig[]): ResourceClaim => ({
  ...claim(),
  status: { allocation: { devices: { results, config } } },
});
const entry = (fields: object, requests: string[] = [], source = "FromClaim"): AllocationConfig => ({
  source,
  requests,
  opaque: {
    driver: "dra.cpu",
    parameters: { apiVersion: "dra.cpu/v1alpha1", kind: "CPUParameters", ...fields },
  },
});
const said = (reading: Wanted | Refused): string => (reading.kind === "refused" ? reading.message : "");

describe("what a claim wants", () => {
  it("is read from its allocation", () => {
    expect(
      readClaim(claim(result({ request: "cpus/small", shareID: "s" }), result({ driver: "gpu.example.com" })), offer),
    ).to.deep.equal({
      kind: "wanted",
      claim: { uid: "u", namespace: "default", name: "c" },
      consumers: [{ resource: "pods", uid: "pu", name: "p" }],
      results: [{ request: "cpus", pool: "n", device: "cpudevnuma001", shareId: "s", count: 2 }],
      wishes: new Map([["cpus", { policy: DEFAULT_POLICY, cpuset: undefined, isolated: false }]]),
      isolated: false,
    });
  });
  it("is refused in a sentence where all results are another driver's", () => {
    expect(said(readClaim(claim(result({ driver: "gpu.example.com" })), offer))).to.equal(
      "Cannot prepare claim default/c: none of its allocated devices is of driver dra.cpu (they are of gpu.example.com)",
    );
  });
  it("takes no CPU with admin access, whatever its parameters say", () => {
    const reading = readClaim(
      withConfig([result({ adminAccess: true }, "x")], entry({ isolation: "isolated" })),
      offer,
    );
    expect(reading).to.have.nested.property("results[0].count", 0);
    expect(reading).to.include({ kind: "wanted", isolated: false });
  });
  it("is one CPU a device in individual mode", () => {
    const one = { request: "cpus", driver: "dra.cpu", pool: "n", device: "cpudev005" };
    expect(readClaim(claim(one), offerOf())).to.have.nested.property("results[0].count", 1);
  });
  it("takes the parameters of the alternative that the scheduler chose", () => {
    const reading = readClaim(
      withConfig(
        [result({ request: "cpus/big" })],
        entry({ strategy: "spread", l3: "any" }, ["cpus"]),
        entry({ strategy: "distributed" }, ["cpus/big"]),
        entry({ strategy: "packed" }, ["cpus/small"]),
      ),
      offer,
    );
    expect(reading.kind === "wanted" && reading.wishes.get("cpus")?.policy).to.include({
      strategy: "distributed",
      l3: "any",
    });
  });
  it("is isolated as a whole or not at all", () => {
    const two = [result({ request: "a" }), result({ request: "b" })];
    expect(readClaim(withConfig(two, entry({ isolation: "isolated" })), offer)).to.include({ isolated: true });
    expect(said(readClaim(withConfig(two, entry({ isolation: "isolated" }, ["b"])), offer))).to.equal(
      "Cannot prepare claim default/c: `isolation` holds for a whole claim: request b is isolated, and request a is not; say the same for all, or make two claims",
    );
  });
  it("tells every mistake in its parameters at once, and each once", () => {
    const two = [result({ request: "a" }), result({ request: "b" })];
    expect(
      said(readClaim(withConfig(two, entry({ stratgy: "spread" }), entry({ cores: "wole" }, ["b"])), offer)),
    ).to.equal(
      'Cannot prepare claim default/c: its parameters cannot be used: in the claim\'s configuration (entry 1) there is no field "stratgy"; did you mean strategy?; in the claim\'s configuration (entry 2) `cores` is "wole"; wanted any, whole or isolated; did you mean whole?',
    );
  });
  it("is read without regard to the node's devices where it holds CPUs already", () => {
    expect(readResults(claim(result({ device: "cpudev007" })), "dra.cpu")).to.have.nested.property(
      "results[0].device",
      "cpudev007",
    );
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
