import fc from "fast-check";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";
import { steps } from "../../../e2e/kit/playedsteps.ts";
import { Weather } from "../../../e2e/kit/playedweather.ts";

/** RUNS=5000 SEED=7 for a longer look. */
const RUNS = Number(process.env["RUNS"] ?? 60);
const SEED = process.env["SEED"];

describe("whatever happens to a node, its promises are kept", () => {
  for (const [name, options] of [
    ["kernel lever", { lever: "kernel" }],
    ["kernel lever, the runtime follows", { lever: "kernel", canUpdate: true }],
    ["file lever", { lever: "file" }],
    ["file lever, the runtime follows", { lever: "file", canUpdate: true }],
    ["runtime lever, by updates", { lever: "runtime", canUpdate: true }],
    ["runtime lever, by replies", { lever: "runtime" }],
  ] as const) {
    it(name, async function () {
      this.timeout(300_000);
      await fc.assert(
        fc.asyncProperty(steps, async (all) => {
          await new Weather(await PlayedNode.up(options)).play(all);
        }),
        { numRuns: RUNS, ...(SEED === undefined ? {} : { seed: Number(SEED) }) },
      );
    });
  }
});
