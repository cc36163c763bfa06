import { expect } from "chai";
import type { GuestRun } from "../kit/guest/boot.ts";
import { runInGuest, type GuestProgram } from "../kit/guest/program.ts";
import { MASK_ROWS, MODE_ROWS, PARTITION_ROWS } from "./guest/rows.ts";

interface Guest extends Pick<GuestProgram, "kernel" | "limitSeconds"> {
  readonly program: string;
  readonly rows: readonly string[];
}

// Seconds are those of a machine that emulates two at once and is slow at it.
const PARTITIONS: Guest = { kernel: "6.12", program: "partitions", rows: PARTITION_ROWS, limitSeconds: 700 };
const MASKS: Guest = { kernel: "6.1", program: "masks", rows: MASK_ROWS, limitSeconds: 600 };
const MODES: Guest = { kernel: "6.12", program: "modes", rows: MODE_ROWS, limitSeconds: 900 };

/** Of `--guest`: this one alone. */
const only = process.env["DRACPU_GUEST"] ?? "";
const wanted = [PARTITIONS, MASKS, MODES].filter(({ program }) => program.includes(only));

describe("16 CPUs, cgroup v2", function () {
  this.timeout(1_800_000);
  const runs = new Map<Guest, Promise<GuestRun>>();

  before(() => {
    const booted = (guest: Guest, after?: Promise<unknown>): Promise<GuestRun> => {
      const run = Promise.resolve(after).then(() =>
        runInGuest({ ...guest, program: `e2e/runtime/guest/${guest.program}.ts` }),
      );
      runs.set(guest, run);
      // Whoever waits for it is told.
      run.catch(() => {});
      return run;
    };
    // Two at once: each of them waits most of its time for one of its emulated CPUs.
    const [first, second, ...rest] = wanted;
    if (first !== undefined) void booted(first);
    let before = second === undefined ? undefined : booted(second);
    for (const guest of rest)
      before = booted(
        guest,
        before?.catch(() => {}),
      );
  });

  for (const guest of wanted) {
    describe(`kernel ${guest.kernel}: ${guest.program}`, () => {
      let run: GuestRun;
      before(async () => {
        run = await (runs.get(guest) ?? expect.fail("it was not booted"));
        console.log(`    guest done in ${run.seconds.toFixed(0)} s`);
        for (const line of run.output.split("\n"))
          if (!/^(ROW ok|RC|BOOTED)/.test(line) && line !== "") console.log(`      ${line.slice(0, 1000)}`);
        if (run.status === undefined) console.log(run.console.slice(-2000));
      });
      for (const row of guest.rows) {
        it(row, () => {
          const line = run.output
            .split("\n")
            .find((one) => one.startsWith(`ROW ok ${row} (`) || one.startsWith(`ROW failed ${row}: `));
          expect(line ?? "the guest did not come to it").to.match(/^ROW ok/);
        });
      }
    });
  }
});
