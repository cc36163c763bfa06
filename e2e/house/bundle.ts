import { chmodSync, statSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const ROOT = join(import.meta.dirname, "..", "..");
/** grpc-js, protobufjs, pino and yargs are CommonJS inside. */
const BANNER =
  'import{createRequire as __cr}from"node:module";import{fileURLToPath as __fp}from"node:url";import{dirname as __dn}from"node:path";const require=__cr(import.meta.url),__filename=__fp(import.meta.url),__dirname=__dn(__filename);';

/** Said before anything is loaded that an older Node does not have. */
function needs(node: string): string {
  const [major = "0", minor = "0"] = node.split(".");
  return `{const[a,b]=process.versions.node.split(".").map(Number);if(a<${major}||(a===${major}&&b<${minor})){console.error("This program needs Node ${node} or later; this is "+process.versions.node);process.exit(2)}}`;
}

/** One minified file from sources. @param node the oldest that it runs on. @returns its size in bytes. */
export async function bundle(entry: string, out: string, node = "24.0"): Promise<number> {
  await build({
    entryPoints: [entry],
    outfile: out,
    bundle: true,
    platform: "node",
    format: "esm",
    target: `node${node}`,
    minify: true,
    banner: { js: BANNER + needs(node) },
    logLevel: "warning",
  });
  return statSync(out).size;
}

if (import.meta.main) {
  for (const [entry, out, node] of [
    ["driver/src/main.ts", "dist/dracpu.mjs", "24.0"],
    ["nri-agent/src/main.ts", "dist/dracpu-agent.mjs", "24.0"],
    // People have what they have.
    ["driver/src/kubectl/main.ts", "dist/kubectl-dracpu", "22.15"],
  ] as const) {
    const size = await bundle(join(ROOT, entry), join(ROOT, out), node);
    chmodSync(join(ROOT, out), 0o755);
    console.log(`${out}: ${(size / 1024).toFixed(0)} KiB`);
  }
}
