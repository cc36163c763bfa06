import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundle } from "../../images/bundle.ts";

const ROOT = join(import.meta.dirname, "..", "..");

export interface Bundles {
  readonly driver: string;
  readonly agent: string;
}

let made: Promise<Bundles> | undefined;

/** Both programs as they are shipped: they start in a fraction of the time that sources take. Made once a run. */
export function bundles(): Promise<Bundles> {
  made ??= make();
  return made;
}

async function make(): Promise<Bundles> {
  const dir = mkdtempSync(join(tmpdir(), "fb-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  const found = { driver: join(dir, "dracpu.cjs"), agent: join(dir, "dracpu-agent.cjs") };
  await bundle(join(ROOT, "driver/src/main.ts"), found.driver);
  await bundle(join(ROOT, "nri-agent/src/main.ts"), found.agent);
  return found;
}
