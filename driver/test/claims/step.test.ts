import { expect } from "chai";
import { stepOf } from "../../src/claims/step.ts";
import { offerOf } from "./offers.ts";

describe("what the scheduler counts in", () => {
  for (const [cores, online, step] of [
    ["any", "0-15", 1],
    ["whole", "0-15", 2],
    ["isolated", "0-15", 2],
    ["whole", "0-7", 1],
    ["whole", "0-8", 1],
  ] as const) {
    it(`is ${step} for ${cores} cores with CPUs ${online} online`, () =>
      expect(stepOf(offerOf({}, online).machine, { cores })).to.equal(step));
  }
});
