import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { isReady, template } from "./objects.ts";
import { world } from "./suite.ts";
import type { Holdings } from "./views.ts";
import { seconds, SLOW } from "./world.ts";

/** Of each pod, by turns: 30 CPUs in all, of which the node has half. */
const SIZES = [1, 2];
const PODS = new Map(Array.from({ length: 20 }, (_, n) => [`p${n}`, SIZES[n % SIZES.length] ?? 1]));
const OFFERED = 15;

// The node offers one device, by machine.
describe("twenty pods with claims at once", function () {
  this.timeout(3 * SLOW);
  this.bail(true);
  /** What the first instruction of each pod saw. */
  const seen = new Map<string, CpuSet>();

  before(async () => {
    await world.large();
    await world.settings("groupBy=machine");
    await world.devicesBecome("large", (all) => all.map((one) => one.name).join() === "cpudevmachine");
    await world.cluster.apply(...SIZES.map((cpus) => template(`of-${cpus}`, { cpus })));
  });

  const placed = (found: Holdings, isPlaced: boolean): string[] =>
    found.pods
      .filter(({ metadata, spec }) => PODS.has(metadata.name) && (spec.nodeName !== undefined) === isPlaced)
      .map((one) => one.metadata.name);
  const sum = (names: readonly string[]): number => names.reduce((all, name) => all + (PODS.get(name) ?? 0), 0);

  /** Waits until pods that were placed run, those that were not have no room, and everybody agrees. @returns what there is then. */
  const filled = async (): Promise<Holdings> => {
    const began = Date.now();
    const found = await world.settled("large", (now) => {
      const room = Math.max(...now.devices.map((one) => now.roomOf(one)));
      const running = placed(now, true);
      return (
        placed(now, false).every((name) => (PODS.get(name) ?? 0) > room) &&
        now.pods.filter((one) => running.includes(one.metadata.name)).every(isReady) &&
        now.held.size === sum(running)
      );
    });
    const running = placed(found, true);
    console.log(`      ${running.length} pods on ${found.held.toString()} after ${seconds(began)}`);
    expect(found.consumed()).to.equal(sum(running));
    for (const [name, list] of await world.firsts(running.filter((name) => !seen.has(name)))) {
      expect(CpuSet.parse(list).size, `CPUs of ${name}, ${list}`).to.equal(PODS.get(name));
      seen.set(name, CpuSet.parse(list));
    }
    // Each is where its first instruction was, and they are all that is held.
    expect(CpuSet.union(running.map((name) => seen.get(name) ?? CpuSet.empty)).toString()).to.equal(
      found.held.toString(),
    );
    return found;
  };

  it("fill it to the last CPU, each pod with its own; the others wait", async () => {
    await world.createEach([...PODS.keys()].map((name) => ({ name, template: `of-${PODS.get(name) ?? 0}` })));
    const found = await filled();
    expect(found.held.toString()).to.equal("1-15");
    expect(found.consumed()).to.equal(OFFERED);
    expect(await world.inside("shared")).to.equal("0");
    const [waiting = ""] = placed(found, false);
    expect(await world.whyPending(waiting)).to.include("cannot allocate all claims");
  });

  it("come up as earlier ones go, until each has run; no CPU ever has two", async () => {
    while (seen.size < PODS.size) {
      const running = placed(await world.look("large"), true);
      await world.remove(...running.slice(0, Math.ceil((running.length * 2) / 3)));
      await filled();
    }
  });

  it("leave nothing when they go", async () => {
    const found = await world.look("large");
    await world.remove(...placed(found, true), ...placed(found, false));
    await world.empty(CpuSet.range(0, 15));
    expect(await world.inside("shared")).to.equal("0-15");
  });
});
