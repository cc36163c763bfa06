import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { digestOf } from "@dracpu/shared-proto/contract/digest.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import {
  allocationFromWire,
  allocationToWire,
  machineFromWire,
  WireFault,
} from "@dracpu/shared-proto/contract/wire.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { AllocationSchema, MachineSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { expect } from "chai";
import fc from "fast-check";

const record = fc
  .record({
    uid: fc.uuid(),
    state: fc.constantFrom("preparing" as const, "prepared" as const, "draining" as const),
    pods: fc.array(fc.uuid(), { maxLength: 3 }),
    first: fc.nat(100),
    sizes: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 4 }),
    isolated: fc.boolean(),
  })
  .map(({ uid, state, pods, first, sizes, isolated }): AllocationRecord => {
    let at = first;
    return {
      claim: { uid, namespace: "default", name: "c" },
      state,
      consumers: pods.map((pod) => ({ resource: "pods", uid: pod, name: "p" })),
      shares: sizes.map((size, n) => {
        const cpus = CpuSet.range(at, at + size - 1);
        at += size;
        return { request: `r${n}`, pool: "n", device: "d", cpus };
      }),
      idle: CpuSet.of(at),
      isolated,
      operationId: "",
    };
  });

describe("allocations on the wire", () => {
  it("come back as they were", () => {
    fc.assert(
      fc.property(record, (one) => {
        const bytes = toBinary(AllocationSchema, allocationToWire(one));
        expect(allocationFromWire(fromBinary(AllocationSchema, bytes))).to.deep.equal(one);
      }),
    );
  });
  it("have a digest that does not depend on order, nor on preparing or prepared, and does on everything else", () => {
    fc.assert(
      fc.property(fc.uniqueArray(record, { selector: (one) => one.claim.uid, minLength: 1, maxLength: 5 }), (all) => {
        const digest = digestOf(all);
        expect(digestOf([...all].reverse())).to.equal(digest);
        const [first, ...rest] = all;
        if (first === undefined) return;
        if (first.state !== "draining") expect(digestOf([{ ...first, state: "prepared" }, ...rest])).to.equal(digest);
        expect(digestOf([{ ...first, isolated: !first.isolated }, ...rest])).not.to.equal(digest);
        expect(digestOf([{ ...first, idle: first.idle.union(CpuSet.of(500)) }, ...rest])).not.to.equal(digest);
        expect(digestOf(rest)).not.to.equal(digest);
      }),
    );
  });
  for (const [what, message, says] of [
    ["no claim", {}, "without a claim"],
    ["no uid", { claim: {} }, "claim.uid is empty"],
    ["an unknown state", { claim: { uid: "u" }, state: 99 }, "state 99"],
    ["a garbled list", { claim: { uid: "u" }, state: 2, shares: [{ request: "r", cpus: "1-" }] }, "shares[r].cpus"],
    ["no CPUs", { claim: { uid: "u" }, state: 2, shares: [{ request: "r" }] }, "is empty"],
    [
      "shares that overlap",
      {
        claim: { uid: "u" },
        state: 2,
        shares: [
          { request: "r", cpus: "1-2" },
          { request: "s", cpus: "2" },
        ],
      },
      "overlap",
    ],
    ["a name without end", { claim: { uid: "u".repeat(300) } }, "longer than 253"],
  ] as const) {
    it(`are refused with ${what}, naming the field`, () => {
      expect(() => allocationFromWire(create(AllocationSchema, message as never))).to.throw(WireFault, says);
    });
  }
  it("a machine without online CPUs is refused", () => {
    expect(() => machineFromWire(create(MachineSchema, {}))).to.throw(WireFault, "machine.online");
    expect(() => machineFromWire(undefined)).to.throw(WireFault, "missing");
  });
});
