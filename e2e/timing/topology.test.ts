import { SysfsOverlay } from "@dracpu/driver/sysfs/overlay.ts";
import { readMachine } from "@dracpu/driver/topology/read.ts";
import { expect } from "chai";
import { machine } from "../machines/build.ts";

describe("a machine", function () {
  this.timeout(20_000);

  it("is read in time that grows with the machine, not with its square", () => {
    const texts = ["epyc-9754-2s-512", "xeon-16s-1536"].map((name) => machine(name));
    const best = [Infinity, Infinity];
    // By turns, so that what else the machine does meets both.
    for (let n = 0; n < 7; n++)
      for (const [which, text] of texts.entries()) {
        const began = performance.now();
        readMachine(SysfsOverlay.parse(text, undefined));
        best[which] = Math.min(best[which] ?? 0, performance.now() - began);
      }
    const [small = 0, large = 0] = best;
    console.log(`      overlay text to Machine: 512 CPUs ${small.toFixed(0)} ms, 1,536 CPUs ${large.toFixed(0)} ms`);
    expect(large).to.be.lessThan(Math.max(100, 6 * small));
  });
});
