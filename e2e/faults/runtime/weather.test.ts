import { expect } from "chai";
import { judge } from "../judge.ts";
import { seedOf } from "../random.ts";
import { explain, minutes } from "../report.ts";
import { runtimeClimate } from "./climate.ts";
import { weather } from "../weather.ts";
import { onContainerd } from "./suite.ts";
import type { FaultWorld } from "./world.ts";

describe("random weather, on real containerd", function () {
  this.timeout(minutes() * 60_000 + 240_000);
  let world: FaultWorld;
  onContainerd((up) => {
    world = up;
  });

  it("breaks no promise, and leaves nothing behind", async () => {
    const seed = seedOf();
    console.log(`      ${minutes()} minutes; --seed ${seed}`);
    const tally = await weather(runtimeClimate(world), seed, minutes() * 60_000);
    console.log(
      `      ${tally.pods} pods; ${Object.entries(tally.blows)
        .map(([name, n]) => `${n} × ${name}`)
        .join(", ")}`,
    );
    expect(tally.failures).to.deep.equal([]);
    await world.agrees();
    await world.holdsNothing();
    const recording = await world.observer.stop();
    expect(explain(recording, judge(recording, world.facts))).to.deep.equal([]);
  });
});
