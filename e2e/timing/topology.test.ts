import { SysfsOverlay } from "@dracpu/driver/sysfs/overlay.ts";
import { readMachine } from "@dracpu/driver/topology/read.ts";
import { expect } from "chai";
import { machine } from "../machines/build.ts";

describe("a machine", function () {
  this.timeout(20_000);

  it("is read in time that grows with the machine, not with its square", () => {
    const timed = (name: string): number => {
      const text = machine(name);
      let best = Infinity;
      for (let n = 0; n < 3; n++) {
        const began = performance.now();
        readMachine(SysfsOverlay.parse(text, undefined));
        best = Math.min(best, performance.now() - began);
      }
      return best;
    };
    const small = timed("epyc-9754-2s-512");
    const large = timed("xeon-16s-1536");
    console.log(`      overlay text to Machine: 512 CPUs ${small.toFixed(0)} ms, 1,536 CPUs ${large.toFixed(0)} ms`);
    expect(large).to.be.lessThan(Math.max(100, 6 * small));
  });
});
