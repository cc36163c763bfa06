import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import fc from "fast-check";
import { sharedPool } from "../../src/pool/pool.ts";

const machine = (online: string, reserved = ""): Parameters<typeof sharedPool>[0] => ({
  online: CpuSet.parse(online),
  present: CpuSet.parse(online),
  reserved: CpuSet.parse(reserved),
  keepShared: CpuSet.empty,
  bootId: "",
});

describe("the shared pool", () => {
  it("is what is online, not reserved, and not a claim's", () => {
    const pool = sharedPool(machine("0-7", "0"), CpuSet.parse("4-5"));
    expect([pool.shared.toString(), pool.own.toString(), pool.source]).to.deep.equal(["1-3,6-7", "0-3,6-7", "pool"]);
  });
  it("falls back to the reserved CPUs, and says so", () => {
    const pool = sharedPool(machine("0-3", "0"), CpuSet.parse("1-3"));
    expect([pool.shared.toString(), pool.source]).to.deep.equal(["0", "reserved"]);
  });
  it("is never empty, and overlaps claims only where nothing else is left", () => {
    const list = fc.uniqueArray(fc.nat(40), { maxLength: 41 }).map((cpus) => CpuSet.from(cpus));
    fc.assert(
      fc.property(list, list, list, (online, reserved, held) => {
        if (online.isEmpty) return;
        const pool = sharedPool({ ...machine("0"), online, reserved }, held);
        expect(pool.shared.isEmpty).to.equal(false);
        expect(pool.shared.isSubsetOf(online)).to.equal(true);
        expect(pool.shared.overlaps(held)).to.equal(online.isSubsetOf(held));
        expect(pool.shared.isSubsetOf(pool.own)).to.equal(true);
      }),
    );
  });
});
