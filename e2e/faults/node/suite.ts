import { bundles } from "../programs.ts";
import { NodeWorld } from "./nodeworld.ts";

/** The one node of this suite's files: up before the first test, down after the last. */
export let world: NodeWorld;

before(async function () {
  this.timeout(180_000);
  world = new NodeWorld(await bundles());
  await world.start();
});

after(function () {
  this.timeout(60_000);
  return world.stop();
});

afterEach(function () {
  if (this.currentTest?.state === "failed") console.log(`      logs, and what was seen: ${world.keep()}`);
});
