import { expect } from "chai";
import type { GuestRun } from "../kit/guest/boot.ts";
import { runInGuest } from "../kit/guest/program.ts";
import { binary } from "../build/build.ts";
import { FULL } from "./nativelab.ts";
import { MASK_ROWS, MODE_ROWS, PARTITION_ROWS, ROWS_OF_FULL, SYSTEMD_ROWS } from "./guest/rows.ts";

/** Of `--guest`: this one alone. */
const only = process.env["DRACPU_GUEST"] ?? "";

// Seconds are those of a machine that emulates and is slow at it. One at a time: one keeps two CPUs busy.
/** Another runtime for a row of the guest, which has the newer one. */
const older = (): string[] => ["containerd", "containerd-shim-runc-v2"].map((name) => binary("containerd-2.1", name));

for (const [kernel, program, rows, limitSeconds, files] of [
  ["6.12", "partitions", PARTITION_ROWS, 1200, older],
  ["6.12", "modes", MODE_ROWS, 1200, () => []],
  ["6.1", "masks", MASK_ROWS, 900, () => []],
  ["6.12", "systemd", SYSTEMD_ROWS, 600, () => []],
] as const) {
  if (!program.includes(only)) continue;
  describe(`16 CPUs, cgroup v2, kernel ${kernel}: ${program}`, function () {
    this.timeout(FULL ? 2_700_000 : 1_500_000);
    let run: GuestRun;
    before(async () => {
      const env = FULL ? { DRACPU_FULL: "1" } : {};
      run = await runInGuest({
        kernel,
        program: `e2e/runtime/guest/${program}.ts`,
        limitSeconds: FULL ? 2 * limitSeconds : limitSeconds,
        files: files(),
        env,
        systemd: program === "systemd",
      });
      console.log(`    guest done in ${run.seconds.toFixed(0)} s`);
      for (const line of run.output.split("\n"))
        if (!/^(ROW ok|RC|BOOTED)/.test(line) && line !== "") console.log(`      ${line.slice(0, 1000)}`);
      if (run.status === undefined) console.log(run.console.slice(-2000));
    });
    for (const row of rows) {
      it(row, function () {
        if (!FULL && ROWS_OF_FULL.includes(row)) {
          console.log("      skipped: the emulated machine may stand still in it; with --full");
          this.skip();
        }
        const line = run.output
          .split("\n")
          .find((one) => one.startsWith(`ROW ok ${row} (`) || one.startsWith(`ROW failed ${row}: `));
        if (line?.startsWith("ROW ok") !== true) expect.fail(line ?? "the guest did not come to it");
      });
    }
  });
}
