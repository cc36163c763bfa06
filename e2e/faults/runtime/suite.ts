import { Containerd } from "../../kit/containerd/containerd.ts";
import { bundles } from "../programs.ts";
import { FaultWorld } from "./world.ts";

/** One world on real containerd for all tests of the `describe` that calls this; what a failure has seen is kept. */
export function onContainerd(up: (world: FaultWorld) => Promise<void> | void): void {
  let world: FaultWorld;
  before(async () => {
    world = new FaultWorld(await bundles(), { runtime: new Containerd("2.4") });
    await world.start();
    await up(world);
  });
  after(() => world.stop());
  afterEach(function () {
    if (this.currentTest?.state === "failed") console.log(`      logs, and what was seen: ${world.keep()}`);
  });
}
