import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeDisk, rootDisk, type Kernel } from "./image.ts";
import { qemuCommand, TWO_SOCKETS } from "./qemu.ts";

export interface GuestOptions {
  readonly kernel: Kernel;
  /** Folder that becomes `/job` (read-only); `/job/run.sh` is run. */
  readonly job: string;
  readonly limitSeconds: number;
  /** The root disk; by default the one whose first process is a script. */
  readonly root?: string;
  /** qemu's -smp; 16 CPUs on 2 sockets, 4 L3 caches, SMT 2 by default. */
  readonly smp?: string;
}

export interface GuestRun {
  /** Exit status of run.sh; `undefined` where the guest did not get there. */
  readonly status: number | undefined;
  readonly output: string;
  readonly console: string;
  readonly seconds: number;
}

/** Some six seconds are usual. */
export const BOOTS = 4;
export const BOOTS_WITHIN_MS = 90_000;

/**
 * Boots a machine in software: no root, no KVM. Under emulation a kernel now and then dies ("Oops: int3"): it patches its own code while other
 * processors run it, which the emulator does not keep in order. A guest that never came to /job, or whose kernel died in it, is begun again, and that is printed.
 */
export async function bootGuest(options: GuestOptions): Promise<GuestRun> {
  for (let n = 1; ; n++) {
    const run = await boot(options);
    const where = run.output.includes("BOOTED") ? "died" : "did not boot";
    const isOfEmulator = where === "did not boot" || run.console.includes("Kernel panic");
    if (run.status !== undefined || !isOfEmulator || n === BOOTS) return run;
    const last = run.console.split("\n").slice(-12).join("\n        ");
    console.log(
      `      the guest with kernel ${options.kernel} ${where} after ${run.seconds.toFixed(0)} s; once more. Its console ends:\n        ${last}`,
    );
  }
}

async function boot(options: GuestOptions): Promise<GuestRun> {
  const dir = mkdtempSync(join(tmpdir(), "gb-"));
  const began = Date.now();
  try {
    makeDisk(options.job, join(dir, "job.ext4"), 24);
    const [program = "", ...args] = qemuCommand({
      kernel: options.kernel,
      shape: options.smp === undefined ? TWO_SOCKETS : { ...TWO_SOCKETS, smp: options.smp },
      disks: [
        { file: options.root ?? rootDisk(), mode: "snapshot" },
        { file: join(dir, "job.ext4"), mode: "readonly" },
      ],
      ports: { out: `file,path=${join(dir, "out.log")}` },
      translatedMB: 2048,
      console: join(dir, "console.log"),
    });
    const qemu = spawn(program, args, { stdio: "ignore" });
    const text = (name: string): string => (existsSync(join(dir, name)) ? readFileSync(join(dir, name), "utf8") : "");
    const timers = [
      setTimeout(() => qemu.kill("SIGKILL"), options.limitSeconds * 1000),
      setTimeout(() => text("out.log").includes("BOOTED") || qemu.kill("SIGKILL"), BOOTS_WITHIN_MS),
    ];
    const end = (): void => void qemu.kill("SIGKILL");
    process.once("exit", end);
    await new Promise<void>((resolve, reject) => {
      qemu.on("exit", () => resolve());
      qemu.on("error", reject);
    });
    for (const timer of timers) clearTimeout(timer);
    process.removeListener("exit", end);
    const output = text("out.log");
    const status = /^RC (\d+)$/m.exec(output)?.[1];
    return {
      status: status === undefined ? undefined : Number(status),
      output,
      console: text("console.log"),
      seconds: (Date.now() - began) / 1000,
    };
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}
