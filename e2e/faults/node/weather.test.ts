import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "chai";
import { until } from "../../kit/node/processes.ts";
import { judge } from "../judge.ts";
import { PROGRAMS, type Program } from "../lives.ts";
import { Random, seedOf } from "../random.ts";
import { explain, minutes } from "../report.ts";
import { weather, type Blow } from "../weather.ts";
import { world } from "./suite.ts";

// Last of this suite's files: it ends the observer, whose recording is of all of them.
describe("random weather, on a real node", function () {
  this.timeout(minutes() * 60_000 + 300_000);

  it("breaks no promise, and leaves nothing behind", async () => {
    const seed = seedOf();
    console.log(`      ${minutes()} minutes; --seed ${seed}`);
    const climate = { rate: 0.6, most: 6, pause: [3000, 9000] as const, blows: blows(), pod: life };
    const tally = await weather(climate, seed, minutes() * 60_000);
    const named = Object.entries(tally.blows).map(([name, n]) => `${n} × ${name}`);
    console.log(`      ${tally.pods} pods; ${named.join(", ")}`);
    expect(tally.failures).to.deep.equal([]);
    await world.isQuiet();
    const recording = await world.observer.stop();
    expect(explain(recording, judge(recording, world.facts))).to.deep.equal([]);
  });
});

function blows(): Blow[] {
  const down = async (which: readonly Program[], random: Random): Promise<void> => {
    const back = which.map(() => random.between(0, 6000));
    await Promise.all(which.map((one, n) => world.lives.kill(one, () => sleep(back[n]))));
  };
  return [
    ...PROGRAMS.map((which) => ({ name: `${which} killed`, run: () => world.lives.kill(which) })),
    ...PROGRAMS.map((which) => ({ name: `${which} down`, run: (random: Random) => down([which], random) })),
    { name: "both down, back in any order", run: (random) => down(PROGRAMS, random) },
    ...PROGRAMS.map((which) => ({
      name: `${which} ends by TERM`,
      run: () => world.lives.kill(which, undefined, "SIGTERM"),
    })),
    { name: "agent stopped past the limit", run: (random) => world.lives.still("agent", random.between(2200, 4000)) },
    { name: "driver stopped", run: (random) => world.lives.still("driver", random.between(500, 5000)) },
    { name: "containerd killed", run: (random) => world.runtimeDown(random.between(0, 3000)) },
    { name: "containerd stopped", run: (random) => world.still("containerd", random.between(500, 3000)) },
    { name: "kubelet killed", run: (random) => world.kubeletDown(random.between(0, 3000)) },
    { name: "kubelet stopped", run: (random) => world.still("kubelet", random.between(500, 5000)) },
  ];
}

/** Four in ten have a claim; every fifth is force-deleted. */
async function life(n: number, random: Random): Promise<void> {
  const name = `w${n}`;
  const isClaimed = random.next() < 0.4;
  const isForced = random.next() < 0.2;
  const lives = random.between(0, isClaimed ? 3000 : 8000);
  await world.createPod({ name, ...(isClaimed ? { template: "one" } : {}) });
  // There is one CPU for claims, and who is next is up to the scheduler: one has been seen to wait four minutes while fifty younger ones came and went.
  const scheduled = ["wait", `pod/${name}`, "--for=condition=PodScheduled", "--timeout=100s"];
  await until(`pod ${name} has a node`, async () => (await world.node.kubectl(...scheduled)) !== "", 20 * 60_000, 1000);
  // The kubelet backs off after a gate that was closed.
  await world.running(name, 240_000);
  await sleep(lives);
  const force = isForced ? ["--force", "--grace-period=0"] : [];
  await world.node.kubectl("delete", "pod", name, "--wait=true", "--timeout=120s", ...force);
}
