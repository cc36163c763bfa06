import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { GuestContainerd } from "../../kit/guest/containerd.ts";
import { intruders, judge } from "../judge.ts";
import { explain } from "../report.ts";
import { runtimeClimate } from "../runtime/climate.ts";
import { FaultWorld } from "../runtime/world.ts";
import { weather } from "../weather.ts";

// Runs inside the guest: random weather where the kernel itself keeps everybody off claims' CPUs. Says `WEATHER ok`, or what is wrong.
const minutes = Number(process.env["DRACPU_MINUTES"]);
const seed = Number(process.env["DRACPU_SEED"]);
const world = new FaultWorld(
  { driver: "/job/dracpu.cjs", agent: "/job/dracpu-agent.cjs" },
  { runtime: new GuestContainerd(), claimable: "0-15", patienceMs: 120_000, looking: "/job/looking.mjs" },
);
const wrong: string[] = [];
/** When no agent was there, and what all lives of both programs have warned of. */
function tellWhy(): void {
  const spans = world.facts.away.map(({ from, to }) => `${(from / 1000).toFixed(1)}-${(to / 1000).toFixed(1)}`);
  console.log(`      no agent: ${spans.join(", ")} s`);
  for (const log of readdirSync(world.runtime.dir).filter((one) => one.endsWith(".log")))
    for (const line of readFileSync(join(world.runtime.dir, log), "utf8").split("\n"))
      if (/"level":"(warn|error)"/.test(line)) console.log(`      ${log}: ${line.slice(0, 600)}`);
}
try {
  await world.start();
  const { lever } = await world.state();
  if (lever !== 1) throw new Error(`the lever is ${String(lever)}, not the kernel's`);
  // Everything takes its time where every instruction is emulated: claims' containers stay long enough to be looked at.
  // A program that is killed needs half a minute to be back: blows that come sooner would leave none of them ready ever.
  const pace = { rate: 0.5, most: 8, pause: [25_000, 60_000] as const, claimed: 0.6, lives: 15_000 };
  const tally = await weather(runtimeClimate(world, pace), seed, minutes * 60_000);
  const named = Object.entries(tally.blows).map(([name, n]) => `${n} × ${name}`);
  console.log(`      ${tally.pods} pods; ${named.join(", ")}`);
  // What a pod that failed has left is held for ever.
  wrong.push(...tally.failures);
  await world.agrees();
  await world.holdsNothing();
  const recording = await world.observer.stop();
  // The observer looks less often where every instruction is emulated; what it missed counts for nobody.
  const explained = explain(recording, judge(recording, world.facts), 0);
  const threads = new Set(recording.strangers.map(({ tid }) => tid)).size;
  const { found, looks } = intruders(recording, world.facts);
  console.log(
    `      ${threads} threads outside of pods; looked at all of them ${looks} times while a claim's container ran`,
  );
  const blind = looks === 0 ? ["no look at the machine's threads fell into the time of a claim's container"] : [];
  wrong.push(...explained, ...found, ...blind);
  if (wrong.length > 0) tellWhy();
} catch (cause) {
  wrong.push((cause as Error).message);
  tellWhy();
}
await world.stop().catch((cause: unknown) => console.log(`cannot stop: ${(cause as Error).message}`));
console.log(wrong.length === 0 ? "WEATHER ok" : `WEATHER failed: ${wrong.length}\n${wrong.slice(0, 30).join("\n")}`);
process.exit(wrong.length === 0 ? 0 : 1);
