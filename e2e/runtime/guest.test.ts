import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { bundle } from "../../images/bundle.ts";
import { bootGuest, type GuestRun } from "../kit/guest/boot.ts";
import { kernelFiles, rootDisk, type Kernel } from "../kit/guest/image.ts";
import { writeImage } from "../kit/image/image.ts";
import { MASK_ROWS, MODE_ROWS, PARTITION_ROWS } from "./guest/rows.ts";

const ROOT = join(import.meta.dirname, "..", "..");

// Seconds are those of a machine that emulates and is slow at it.
for (const [kernel, program, rows, limitSeconds] of [
  ["6.12", "partitions", PARTITION_ROWS, 420],
  ["6.12", "modes", MODE_ROWS, 700],
  ["6.1", "masks", MASK_ROWS, 420],
] as const) {
  describe(`16 CPUs, cgroup v2, kernel ${kernel}: ${program}`, function () {
    this.timeout(900_000);
    let run: GuestRun;
    before(async () => {
      run = await guest(kernel, program, limitSeconds);
      console.log(`    guest done in ${run.seconds.toFixed(0)} s`);
      for (const line of run.output.split("\n"))
        if (!/^(ROW ok|RC|BOOTED)/.test(line) && line !== "") console.log(`      ${line.slice(0, 1000)}`);
      if (run.status === undefined) console.log(run.console.slice(-2000));
    });
    for (const row of rows) {
      it(row, () => {
        const line = run.output
          .split("\n")
          .find((one) => one.startsWith(`ROW ok ${row} (`) || one.startsWith(`ROW failed ${row}: `));
        expect(line ?? "the guest did not come to it").to.match(/^ROW ok/);
      });
    }
  });
}

async function guest(kernel: Kernel, program: string, limitSeconds: number): Promise<GuestRun> {
  // Made before the clock runs: they come from the network and from this machine's libraries once.
  kernelFiles(kernel);
  rootDisk();
  const job = mkdtempSync(join(tmpdir(), "gj-"));
  try {
    await bundle(join(ROOT, "nri-agent/src/main.ts"), join(job, "dracpu-agent.cjs"));
    await bundle(join(ROOT, "driver/src/main.ts"), join(job, "dracpu.cjs"));
    await bundle(join(ROOT, `e2e/runtime/guest/${program}.ts`), join(job, "program.mjs"));
    writeImage(join(job, "probe.tar"));
    writeFileSync(join(job, "run.sh"), "#!/bin/sh\ncd /tmp && exec node /job/program.mjs\n");
    chmodSync(join(job, "run.sh"), 0o755);
    return await bootGuest({ kernel, job, limitSeconds });
  } finally {
    rmSync(job, { recursive: true, force: true });
  }
}
