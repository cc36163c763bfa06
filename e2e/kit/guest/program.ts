import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { bundle } from "../../../images/bundle.ts";
import { shipped } from "../../../images/environment.ts";
import { writeImage } from "../image/image.ts";
import { bootGuest, type GuestRun } from "./boot.ts";
import { kernelFiles, rootDisk, type Kernel } from "./image.ts";
import { systemdDisk } from "./systemd.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");
/** An emulated machine takes seconds to compile a program. As in the images, that has been done before; the cache is found by paths relative to it. */
const COMPILED = { NODE_COMPILE_CACHE_PORTABLE: "1" };
/** Bounds of the tests' waits are those of a machine that is not emulated. */
const PATIENCE = "3";

export interface GuestProgram {
  readonly kernel: Kernel;
  /** Source below the root, bundled as `/job/program.mjs`. */
  readonly program: string;
  readonly limitSeconds: number;
  /** More sources, each bundled under its own name. */
  readonly bundles?: readonly string[];
  /** Files that lie beside them in `/job`. */
  readonly files?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Its first process is systemd. */
  readonly systemd?: boolean;
}

/** Node compiles all modules of a program before it runs the first, which ends it here: this program is the guest's. */
function compile(file: string, env: NodeJS.ProcessEnv): void {
  const whole = ["data:text/javascript,process.exit()", pathToFileURL(file).href];
  const imports = whole.map((one) => `import ${JSON.stringify(one)};`).join("");
  execFileSync(process.execPath, ["--input-type=module", "--eval", imports], { env });
}

/** Boots the guest with both products' bundles, a container image and a program, and runs that. */
export async function runInGuest(options: GuestProgram): Promise<GuestRun> {
  const { kernel, program, limitSeconds, bundles = [], files = [], env = {}, systemd = false } = options;
  // Made before the clock runs: they come from the network and from this machine's libraries once.
  kernelFiles(kernel);
  const root = systemd ? systemdDisk() : rootDisk();
  const job = mkdtempSync(join(tmpdir(), "gj-"));
  try {
    const compiled = { ...process.env, ...COMPILED, NODE_COMPILE_CACHE: join(job, "compiled") };
    for (const [entry, file] of [
      ["nri-agent/src/main.ts", "dracpu-agent.cjs"],
      ["driver/src/main.ts", "dracpu.cjs"],
    ] as const) {
      await bundle(join(ROOT, entry), join(job, file));
      // Node keeps one cache for each set of V8's flags.
      for (const [node = "", ...args] of [[process.execPath, join(job, file)], shipped(join(job, file))])
        execFileSync(node, [...args, "--help"], { env: compiled, stdio: "ignore" });
    }
    const modules = bundles.map((one) => [one, basename(one).replace(/\.ts$/, ".mjs")] as const);
    for (const [source, file] of [[program, "program.mjs"], ...modules] as const) {
      await bundle(join(ROOT, source), join(job, file));
      compile(join(job, file), compiled);
    }
    for (const one of files) copyFileSync(one, join(job, basename(one)));
    writeImage(join(job, "probe.tar"));
    const inside = { ...COMPILED, NODE_COMPILE_CACHE: "/job/compiled", DRACPU_PATIENCE: PATIENCE, ...env };
    const words = Object.entries(inside).map(([key, value]) => `${key}='${value}' `);
    writeFileSync(join(job, "run.sh"), `#!/bin/sh\ncd /tmp && ${words.join("")}exec node /job/program.mjs\n`);
    chmodSync(join(job, "run.sh"), 0o755);
    return await bootGuest({ kernel, job, limitSeconds, root });
  } finally {
    rmSync(job, { recursive: true, force: true });
  }
}
