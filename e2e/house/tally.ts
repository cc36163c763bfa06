import { appendFileSync } from "node:fs";
import { reporters, type MochaOptions, type Runner } from "mocha";

/** Of a failure's message, so that the end of a gate's output holds many. */
const TOLD = 600;

/** mocha's spec reporter, that also adds its numbers and what failed, one JSON line a run, to the file that `DRACPU_TALLY` names. */
export default class Tally extends reporters.Spec {
  constructor(runner: Runner, options?: MochaOptions) {
    super(runner, options);
    const failed: string[] = [];
    runner.on("fail", (test, cause: unknown) => {
      // Workers send plain objects.
      const message = String((cause as Partial<Error> | undefined)?.message ?? cause);
      failed.push(`${test.fullTitle()}: ${message.replaceAll(/\s+/g, " ").slice(0, TOLD)}`);
    });
    runner.once("end", () => {
      const file = process.env["DRACPU_TALLY"];
      const { passes, failures, pending } = this.stats;
      if (file !== undefined && file !== "")
        appendFileSync(file, `${JSON.stringify({ passes, failures, pending, failed })}\n`);
    });
  }
}
