import { execFileSync } from "node:child_process";
import { surroundings } from "../kit/node/leftovers.ts";
import { World } from "./world.ts";

/** What was on the machine before the node. */
export const untouched = surroundings();
/** The one node and pair of all files of this suite: up before the first test, down after the last. */
export const world = new World();

before(function () {
  this.timeout(120_000);
  return world.start();
});

after(function () {
  this.timeout(60_000);
  return world.stop();
});

/** Each test ends with both programs running and no pod. */
afterEach(async function () {
  this.timeout(180_000);
  if (world.isStopped) return;
  if (this.currentTest?.state === "failed") await dump();
  await world.pair.revive();
  await world.removeAll();
});

async function dump(): Promise<void> {
  for (const daemon of [world.pair.agent, world.pair.driver]) {
    if (daemon !== undefined) console.log(execFileSync("tail", ["-n", "25", daemon.log], { encoding: "utf8" }));
  }
  try {
    console.log(await world.node.kubectl("get", "pods,resourceclaims", "-o", "wide"));
    console.log(await world.node.kubectl("get", "events"));
  } catch (cause) {
    console.log((cause as Error).message);
  }
}
