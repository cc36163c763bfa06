import { expect } from "chai";
import { DEFAULT_POLICY } from "../../driver/src/allocator/allocate.ts";
import { churn } from "./churn.ts";
import { FIVE } from "./fixtures.ts";

describe("churn of claims", function () {
  this.timeout(30_000);
  for (const [name, machine] of Object.entries(FIVE)) {
    it(`${name}: no claim crosses a NUMA node or socket without need, whole cores stay whole`, () => {
      const end = churn(machine, 1500, DEFAULT_POLICY);
      expect(end.claims).to.be.above(500);
      expect([end.crossedNuma, end.crossedSocket]).to.deep.equal([0, 0]);
      const whole = churn(machine, 1500, { ...DEFAULT_POLICY, cores: "whole" });
      expect(whole.freeOnWholeCores).to.equal(whole.free);
    });
  }
});
