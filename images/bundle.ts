import { statSync } from "node:fs";
import { join } from "node:path";
import { build, type Metafile } from "esbuild";

const ROOT = join(import.meta.dirname, "..");
/** grpc-js, protobufjs, pino and yargs are CommonJS inside. */
const BANNER =
  'import{createRequire as __cr}from"node:module";import{fileURLToPath as __fp}from"node:url";import{dirname as __dn}from"node:path";const require=__cr(import.meta.url),__filename=__fp(import.meta.url),__dirname=__dn(__filename);';

/** Both programs: their entry below the root, and the name of their bundle. */
export const PROGRAMS = {
  driver: { entry: join(ROOT, "driver", "src", "main.ts"), file: "dracpu.mjs" },
  "nri-agent": { entry: join(ROOT, "nri-agent", "src", "main.ts"), file: "dracpu-agent.mjs" },
} as const;
export type ProgramName = keyof typeof PROGRAMS;

/** One minified file for Node 24, from sources. @returns its size in bytes, and what went into it. */
export async function bundle(entry: string, out: string): Promise<{ size: number; metafile: Metafile }> {
  const { metafile } = await build({
    entryPoints: [entry],
    outfile: out,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node24",
    minify: true,
    metafile: true,
    absWorkingDir: ROOT,
    banner: { js: BANNER },
    logLevel: "warning",
  });
  return { size: statSync(out).size, metafile };
}
