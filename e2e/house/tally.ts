import { appendFileSync } from "node:fs";
import { reporters, type MochaOptions, type Runner } from "mocha";

/** mocha's spec reporter, that also adds its numbers, one JSON line a run, to the file that `DRACPU_TALLY` names. */
export default class Tally extends reporters.Spec {
  constructor(runner: Runner, options?: MochaOptions) {
    super(runner, options);
    runner.once("end", () => {
      const file = process.env["DRACPU_TALLY"];
      const { passes, failures, pending } = this.stats;
      if (file !== undefined && file !== "") appendFileSync(file, `${JSON.stringify({ passes, failures, pending })}\n`);
    });
  }
}
