import { writeFileSync } from "node:fs";
import { expect } from "chai";
import { judge } from "../judge.ts";
import { Life, nameOf, PARTS, type Outcome, type Point } from "./points.ts";
import { Random, seedOf } from "../random.ts";
import { explain } from "../report.ts";
import { onContainerd } from "./suite.ts";
import type { FaultWorld } from "./world.ts";

const FULL = process.env["DRACPU_FULL"] !== undefined;
/** Lives in CI; each has one kill in every part. */
const LIVES = 8;

describe("kill -9 at every instant, on real containerd", function () {
  this.timeout(FULL ? 7_200_000 : 600_000);
  let world: FaultWorld;
  let life: Life;
  const seed = seedOf();

  onContainerd(async (up) => {
    world = up;
    life = new Life(world);
    await life.begin();
  });

  it("a claim's life goes on after each, to its end", async () => {
    for (let n = 0; n < 2; n++) await life.cycle([], true);
    const points = PARTS.map((part) => {
      const calls = Math.max(
        ...life.outcomes.filter((one) => nameOf(one.part) === nameOf(part)).map((one) => one.calls.length),
      );
      return new Random(seed).shuffled(
        Array.from({ length: 2 * calls }, (_, n): Point => ({ part, at: 1 + (n >> 1), after: n % 2 === 1 })),
      );
    });
    const all = points.reduce((sum, list) => sum + list.length, 0);
    const lives = FULL ? Math.max(...points.map((list) => list.length)) : LIVES;
    console.log(`      ${all} instants in ${PARTS.length} parts; ${lives} lives; --seed ${seed}`);
    for (let n = 0; n < lives; n++) {
      const here = points.flatMap((list) => list.slice(n, n + 1));
      try {
        await life.cycle(here);
      } catch (cause) {
        throw new Error(`life ${n + 1}, with ${here.map(textOf).join("; ")}: ${(cause as Error).message}`, { cause });
      }
    }
    print(life.outcomes);
  });

  it("and no claim loses or shares a CPU meanwhile, as the kernel says", async () => {
    const recording = await world.observer.stop();
    const verdict = judge(recording, world.facts);
    expect(verdict.claimed).to.be.above(LIVES);
    expect(explain(recording, verdict)).to.deep.equal([]);
  });
});

function textOf({ part, at, after }: Point): string {
  return `${nameOf(part)} killed ${after ? "after" : "before"} call ${at}`;
}

function print(outcomes: readonly Outcome[]): void {
  for (const part of PARTS) {
    const here = outcomes.filter((one) => nameOf(one.part) === nameOf(part));
    const tried = here.filter((one) => one.point !== undefined);
    const calls = Math.max(...here.map((one) => one.calls.length));
    const died = tried.filter((one) => one.died).length;
    console.log(`      ${nameOf(part).padEnd(32)} ${calls} calls, killed at ${died} of ${tried.length} instants`);
  }
  const file = process.env["DRACPU_CALLS"];
  if (file !== undefined)
    writeFileSync(
      file,
      PARTS.map((part) => {
        const calls = outcomes.find((one) => nameOf(one.part) === nameOf(part))?.calls ?? [];
        return [`## ${nameOf(part)}`, ...calls.map((one) => `${one.name} ${one.target}`)].join("\n");
      }).join("\n\n"),
    );
}
