import { expect } from "chai";
import { runInGuest } from "../../kit/guest/program.ts";
import { library, SOURCE } from "../../kit/seam/seam.ts";
import { seedOf } from "../random.ts";
import { minutes } from "../report.ts";

describe("random weather, in a guest with cpuset partitions (kernel 6.12)", function () {
  this.timeout(minutes() * 60_000 + 600_000);

  it("lets no thread of the machine onto a running claim's CPUs, with both programs dead as well as alive", async function () {
    if (process.env["DRACPU_FULL"] === undefined) {
      console.log("      skipped: the emulated machine takes five minutes; with --full");
      this.skip();
    }
    const seed = seedOf();
    console.log(`      ${minutes()} minutes; --seed ${seed}`);
    const run = await runInGuest({
      kernel: "6.12",
      program: "e2e/faults/guest/program.ts",
      bundles: ["e2e/faults/looking.ts"],
      files: [SOURCE, library()],
      env: { DRACPU_MINUTES: String(minutes()), DRACPU_SEED: String(seed), DRACPU_CACHE: "/job" },
      limitSeconds: minutes() * 60 + 420,
    });
    for (const line of run.output.split("\n")) if (!/^(RC|BOOTED)/.test(line)) console.log(line.slice(0, 600));
    expect(run.output, run.console.slice(-1000)).to.match(/^WEATHER ok$/m);
  });
});
