import { statSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const ROOT = join(import.meta.dirname, "..", "..");
/** grpc-js, protobufjs, pino and yargs are CommonJS inside. */
const BANNER =
  'import{createRequire as __cr}from"node:module";import{fileURLToPath as __fp}from"node:url";import{dirname as __dn}from"node:path";const require=__cr(import.meta.url),__filename=__fp(import.meta.url),__dirname=__dn(__filename);';

/** One minified file for Node 24, from sources. @param libraries where else to look for them. @returns its size in bytes. */
export async function bundle(entry: string, out: string, libraries: readonly string[] = []): Promise<number> {
  await build({
    entryPoints: [entry],
    outfile: out,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    minify: true,
    banner: { js: BANNER },
    nodePaths: [...libraries],
    logLevel: "warning",
  });
  return statSync(out).size;
}

if (import.meta.main) {
  for (const [entry, out] of [
    ["driver/src/main.ts", "dist/dracpu.mjs"],
    ["nri-agent/src/main.ts", "dist/dracpu-agent.mjs"],
  ] as const) {
    const size = await bundle(join(ROOT, entry), join(ROOT, out));
    console.log(`${out}: ${(size / 1024).toFixed(0)} KiB`);
  }
}
