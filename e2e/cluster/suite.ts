import { surroundings } from "../kit/node/leftovers.ts";
import { dump } from "./dump.ts";
import { ClusterWorld } from "./world.ts";

/** What was on the machine before the node. */
export const untouched = surroundings();
/** The one node of all files of this suite, which run in the order that `run.ts` gives. */
export const world = new ClusterWorld();

before(function () {
  this.timeout(180_000);
  return world.start();
});

after(function () {
  this.timeout(60_000);
  return world.stop();
});

afterEach(async function () {
  this.timeout(120_000);
  if (this.currentTest?.state === "failed" && !world.isStopped) await dump(world, this.currentTest.fullTitle());
});
