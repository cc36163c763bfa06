import { expect } from "chai";
import * as names from "@dracpu/shared-proto/contract/names.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import fc from "fast-check";
import { admit, type Admission, type Truth } from "../../src/truth/admit.ts";
import { readMarks, type ContainerMarks, type MarkNames, type MarksReading } from "../../src/truth/marks.ts";

const NAMES: MarkNames = {
  cdiKind: names.CDI_KIND,
  envPrefix: names.CPUSET_ENV_PREFIX,
  shareEnvPrefix: names.CPUSHARE_ENV_PREFIX,
  gatePaths: names.GATE_PATHS,
  cpusVariable: names.CPUS_ENV,
  annotation: names.MARK_ANNOTATION,
};
const UID = "11111111-2222-3333-4444-555555555555";
const read = (marks: Partial<ContainerMarks>, cdiVisible = true): MarksReading =>
  readMarks({ env: [], cdiDevices: [], mountDestinations: [], annotations: {}, ...marks }, NAMES, cdiVisible);

describe("what a container shows of a claim", () => {
  const device = `${names.CDI_KIND}=claim-${UID}-cpus`;
  const variable = `${names.CPUSET_ENV_PREFIX}${UID}=0-3`;

  it("is nothing for an ordinary container, whatever else it has", () => {
    expect(read({ env: ["PATH=/bin", "DRA=1"], cdiDevices: ["nvidia.com/gpu=0"] })).to.deep.equal({ kind: "none" });
  });
  it("is the kubelet's CDI id", () => {
    expect(read({ env: [variable], cdiDevices: [device], mountDestinations: [names.GATE_PATH, "/x"] })).to.deep.equal({
      kind: "claims",
      uses: [{ claimUid: UID, request: "cpus" }],
      gates: [names.GATE_PATH],
      isBare: false,
    });
  });
  it("is the reference driver's id of a whole claim, too", () => {
    expect(read({ cdiDevices: [`${names.CDI_KIND}=claim-${UID}`] })).to.deep.include({
      uses: [{ claimUid: UID, request: undefined }],
    });
  });
  it("is bare where the runtime has left the CDI device out", () => {
    expect(read({ cdiDevices: [device] })).to.deep.include({ kind: "claims", isBare: true });
  });
  it("is a forgery where only the variable is there", () => {
    expect(read({ env: [variable] })).to.deep.include({ kind: "forged" });
    expect(read({ env: [variable], mountDestinations: [names.GATE_PATH] })).to.deep.include({ kind: "forged" });
    expect(read({ env: [variable] }, false)).to.deep.include({ kind: "forged" });
  });
  it("is believed by variable and gate, or by our mark, where the runtime shows no CDI ids", () => {
    const share = `${names.CPUSHARE_ENV_PREFIX}${UID}_fast=0-1`;
    expect(read({ env: [variable, share], mountDestinations: [names.GATE_PATH] }, false)).to.deep.include({
      uses: [{ claimUid: UID, request: "fast" }],
    });
    expect(read({ env: [variable], annotations: { [names.MARK_ANNOTATION]: UID } }, false)).to.deep.include({
      uses: [{ claimUid: UID, request: undefined }],
    });
  });
  for (const env of [
    `${names.CPUSET_ENV_PREFIX}x`,
    `${names.CPUSET_ENV_PREFIX}x=1-`,
    `${names.CPUSET_ENV_PREFIX}=a`,
    `${names.CPUSET_ENV_PREFIX}${UID}=${"1,".repeat(60_000)}`,
  ]) {
    it(`is malformed: ${env.slice(0, 40)}`, () => {
      expect(read({ env: [env], cdiDevices: [device] })).to.deep.include({ kind: "malformed" });
    });
  }
  it("is found at once, however many and long the variables are that a pod sets", () => {
    const value = "16383,0,".repeat(8000);
    const env = Array.from({ length: 60 }, (_, n) => `${names.CPUSET_ENV_PREFIX}${n}=${value}`);
    const began = performance.now();
    expect(read({ env })).to.deep.include({ kind: "forged" });
    // All of them would take more than a second.
    expect(performance.now() - began).to.be.below(200);
    expect(read({ env, mountDestinations: [names.GATE_PATH] }, false)).to.deep.include({ kind: "malformed" });
    // Where a gate mount vouches for them, as much is read as one claim could need.
    expect(performance.now() - began).to.be.below(500);
  });
  it("never throws, and never believes a claim without the kubelet's word", () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.string(),
            fc.string().map((s) => `${names.CPUSET_ENV_PREFIX}${s}`),
            fc.constant(variable),
          ),
        ),
        (env) => {
          expect(["none", "forged", "malformed"]).to.include(read({ env }).kind);
        },
      ),
    );
  });
});

describe("admission", () => {
  const POD = { uid: "pod-1", namespace: "default", name: "p" };
  const claim = (more: Partial<AllocationRecord> = {}): AllocationRecord => ({
    claim: { uid: UID, namespace: "default", name: "cpus" },
    state: "prepared",
    consumers: [{ resource: "pods", uid: "pod-1", name: "p" }],
    shares: [
      { request: "fast", pool: "n", device: "d", cpus: CpuSet.parse("2-3") },
      { request: "slow", pool: "n", device: "d", cpus: CpuSet.parse("10") },
    ],
    idle: CpuSet.empty,
    isolated: false,
    operationId: "",
    ...more,
  });
  const decide = (
    request: string | undefined,
    more: {
      claim?: AllocationRecord | undefined;
      truth?: Truth;
      online?: string;
      other?: typeof POD;
      isBare?: boolean;
    } = {},
  ): Admission =>
    admit({
      reading: { kind: "claims", uses: [{ claimUid: UID, request }], gates: [], isBare: more.isBare ?? false },
      truth: more.truth ?? "confirmed",
      online: CpuSet.parse(more.online ?? "0-15"),
      pod: POD,
      container: "c",
      allocation: () => ("claim" in more ? more.claim : claim()),
      otherLivingPod: () => more.other,
    });

  it("pins to the share of a request, or to the whole claim", () => {
    expect(decide("slow")).to.deep.include({ kind: "pin", cpus: CpuSet.parse("10") });
    expect(decide(undefined)).to.deep.include({ kind: "pin", cpus: CpuSet.parse("2-3,10") });
    expect(decide(undefined, { online: "0-3" })).to.deep.include({ kind: "pin", cpus: CpuSet.parse("2-3") });
  });
  for (const [what, reason, says, decision] of [
    ["a claim nobody prepared", "CLAIM_UNKNOWN", "is not prepared on this node", decide("fast", { claim: undefined })],
    [
      "a released claim",
      "CLAIM_RELEASED",
      "has been released",
      decide("fast", { claim: claim({ state: "draining" }) }),
    ],
    [
      "a pod that is not in the reservation",
      "RESERVATION_UNKNOWN",
      "uid pod-1",
      decide("fast", { claim: claim({ consumers: [] }) }),
    ],
    [
      "a second pod",
      "OTHER_POD_LIVES",
      "other/q",
      decide("fast", { other: { uid: "q", namespace: "other", name: "q" } }),
    ],
    ["a container whose CDI device was left out", "CDI_LEFT_OUT", "(enable_cdi)", decide("fast", { isBare: true })],
    ["a request the claim does not have", "REQUEST_UNKNOWN", "no request zz", decide("zz")],
    [
      "a claim whose CPUs are offline",
      "CPUS_OFFLINE",
      "all its CPUs (10) are offline",
      decide("slow", { online: "0-3" }),
    ],
    [
      "any claim before a driver has spoken",
      "TRUTH_UNKNOWN",
      "by itself once the driver container runs",
      decide("fast", { truth: "none" }),
    ],
  ] as const) {
    it(`refuses ${what} in a sentence that names container and pod`, () => {
      expect(decision).to.deep.include({ kind: "refuse", reason });
      const { message } = decision as Extract<Admission, { kind: "refuse" }>;
      expect(message)
        .to.include(says)
        .and.include("container c of pod default/p")
        .and.match(/^dra\.cpu: /);
    });
  }
  it("leaves ordinary containers alone until it knows which claims there are", () => {
    const shared = (truth: Truth): Admission =>
      admit({
        reading: { kind: "none" },
        truth,
        online: CpuSet.parse("0"),
        pod: POD,
        container: "c",
        allocation: () => undefined,
        otherLivingPod: () => undefined,
      });
    expect([shared("none").kind, shared("restored").kind, shared("confirmed").kind]).to.deep.equal([
      "leave",
      "shared",
      "shared",
    ]);
  });
});
