import { dumpFailures } from "../kit/failures.ts";
import { surroundings } from "../kit/node/leftovers.ts";
import { dump } from "./dump.ts";
import { GuestWorld } from "./world.ts";

/** What was on the machine before. */
export const untouched = surroundings();
/** The one cluster of all files of this suite, which run in the order that `run.ts` gives. */
export const world = new GuestWorld();

dumpFailures(async (title, cause) => {
  if (world.isStopped) return;
  // The suite takes minutes, and what follows may fail of this.
  console.log(`      ${cause?.message ?? ""}`);
  await dump(world, title);
});

before(function () {
  this.timeout(180_000);
  return world.start();
});

after(function () {
  this.timeout(60_000);
  return world.stop();
});
