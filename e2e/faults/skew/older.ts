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

/** Starts a bundle without the settings that came after it, as an operator would who goes back to it. */
const START = `
import { readFileSync, writeFileSync } from "node:fs";
const bundle = new URL("./NAME", import.meta.url);
const text = readFileSync(bundle, "utf8");
const knows = (name) => text.includes('"' + name + '"');
const [node, program, command, ...rest] = process.argv;
const kept = [];
for (let n = 0; n < rest.length; n += 1) {
  const config = /^--config=(.*)/.exec(rest[n])?.[1];
  if (config !== undefined) {
    const values = Object.entries(JSON.parse(readFileSync(config, "utf8"))).filter(([key]) => knows(key));
    writeFileSync(config, JSON.stringify(Object.fromEntries(values)));
    kept.push(rest[n]);
  } else {
    if (knows(rest[n].slice(2))) kept.push(rest[n], rest[n + 1]);
    n += 1;
  }
}
process.argv = [node, program, command, ...kept];
await import(bundle.href);
`;

/** The older version's programs, unpacked until this process ends. */
export function olderBundles(): Bundles {
  const dir = mkdtempSync(join(tmpdir(), "ob-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  for (const { name } of PROGRAMS) {
    writeFileSync(join(dir, name), brotliDecompressSync(readFileSync(join(FIXTURE, `${name}.br`))));
    writeFileSync(join(dir, `start-${name}`), START.replace("NAME", name));
  }
  return { driver: join(dir, "start-dracpu.mjs"), agent: join(dir, "start-dracpu-agent.mjs") };
}
