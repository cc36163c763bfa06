import { dumpFailures } from "../kit/failures.ts";
import { surroundings } from "../kit/node/leftovers.ts";
import { dump } from "./dump.ts";
import { ClusterWorld } from "./world.ts";

/** What was on the machine before the node. */
export const untouched = surroundings();
/** The one node of all files of this suite, which run in the order that `run.ts` gives. */
export const world = new ClusterWorld();

dumpFailures(async (title) => {
  if (!world.isStopped) await dump(world, title);
});

before(function () {
  this.timeout(180_000);
  return world.start();
});

after(function () {
  this.timeout(60_000);
  return world.stop();
});
