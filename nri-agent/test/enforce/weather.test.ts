import fc from "fast-check";
import { PlayedNode } from "../../../e2e/kit/playednode.ts";
import { steps, Weather } from "../../../e2e/kit/playedweather.ts";

describe("whatever happens to a node, its promises are kept", () => {
  for (const lever of ["kernel", "file"] as const) {
    it(`with the ${lever} lever`, async function () {
      this.timeout(120_000);
      await fc.assert(
        fc.asyncProperty(steps, async (all) => {
          const node = await PlayedNode.up({ lever });
          await new Weather(node).play(all);
        }),
        {
          numRuns: Number(process.env["RUNS"] ?? 40),
          ...(process.env["SEED"] === undefined ? {} : { seed: Number(process.env["SEED"]) }),
        },
      );
    });
  }
});
