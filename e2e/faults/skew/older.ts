import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import type { Bundles } from "../programs.ts";

/** Minified bundles of an older version, which is the previous release where there is one; `make.ts` makes them. */
export const FIXTURE = join(import.meta.dirname, "fixture");
export const PROGRAMS = [
  { name: "dracpu.mjs", entry: "driver/src/main.ts" },
  { name: "dracpu-agent.mjs", entry: "nri-agent/src/main.ts" },
] as const;

/** The older version's programs, unpacked until this process ends. */
export function olderBundles(): Bundles {
  const dir = mkdtempSync(join(tmpdir(), "ob-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  for (const { name } of PROGRAMS)
    writeFileSync(join(dir, name), brotliDecompressSync(readFileSync(join(FIXTURE, `${name}.br`))));
  return { driver: join(dir, "dracpu.mjs"), agent: join(dir, "dracpu-agent.mjs") };
}
