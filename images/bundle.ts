import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { build, type Metafile, type Plugin } from "esbuild";
import { READ_DESCRIPTORS } from "./descriptors.ts";

const ROOT = join(import.meta.dirname, "..");
/** For CommonJS libraries inside of an ES module: grpc-js, protobufjs and pino. */
const ESM_BANNER =
  'import{createRequire as __cr}from"node:module";import{fileURLToPath as __fp}from"node:url";import{dirname as __dn}from"node:path";const require=__cr(import.meta.url),__filename=__fp(import.meta.url),__dirname=__dn(__filename);';
/**
 * When V8 compiles anew what runs often, each ten times its default and so no earlier than for what is really hot: what a start alone runs some hundred times
 * is not worth compilers that take 5 MB of Node's own pages into memory. NODE_OPTIONS takes none of these.
 */
const LATER = ["early-optimization=3000", "maglev=4000", "maglev-osr=1000", "turbofan=30000", "osr=5000"]
  .map((count) => `--invocation-count-for-${count}`)
  .join(" ");
/** Young garbage is a megabyte at most. Helping threads get it away no sooner, and on a busy node a hook waits until each of them has had a CPU. */
const ALONE = "--no-parallel-scavenge";
/**
 * Parts of Node that a start of each program needs. Node has their code compiled, and V8 takes that only while its flags for compilers are those that Node was built
 * with: after {@link LATER} each part is compiled anew, a fifth of a start.
 */
const FIRST_PARTS = [
  "cluster",
  "crypto",
  "dns",
  "fs/promises",
  "http",
  "module",
  "os",
  "perf_hooks",
  "timers/promises",
  "worker_threads",
  "zlib",
];
const DRIVER_FIRST_PARTS = [...FIRST_PARTS, "http2", "https"];
/** For yargs, an ES module inside of CommonJS. */
const cjsBanner = (parts: readonly string[]): string =>
  `const __url=require("node:url").pathToFileURL(__filename).href;if(process.argv[2]==="run")for(const part of ${JSON.stringify(parts)})require(part);require("node:v8").setFlagsFromString("${LATER} ${ALONE}");`;

/** In place of what client-node's own calls are made with. */
const NO_CALLS = `const none = function () { throw new Error("client-node's own calls are not part of this program"); };
export { ${["Agent", "ProxyAgent", "AppsV1Api", "CoreV1Api", "ServerConfiguration", "createConfiguration"]
  .map((name) => `none as ${name}`)
  .join(", ")} };`;
const PARTS = 'export { KubeConfig } from "./config.js"; export { PortForward } from "./portforward.js";';

/**
 * Of client-node only kubeconfigs, credentials and port forwarding are used. Its own calls are left out, and with them undici and a class for each
 * kind of object: 6 MB of the driver's memory, and 50 ms of each of its starts. What remains has no side effects, which its package does not say.
 */
const NO_CLIENT_CALLS: Plugin = {
  name: "no-client-calls",
  setup: ({ onLoad, onResolve, resolve }) => {
    onLoad({ filter: /./, namespace: "client-node" }, ({ path, pluginData }) =>
      path === "none" ? { contents: NO_CALLS } : { contents: PARTS, resolveDir: pluginData as string },
    );
    onResolve(
      { filter: /^(@kubernetes\/client-node$|undici$|\.)/ },
      async ({ path, pluginData, importer, kind, resolveDir, namespace }) => {
        const isWhole = path.startsWith("@");
        if (pluginData === NO_CLIENT_CALLS) return undefined;
        if (!isWhole && namespace !== "client-node" && !importer.includes("/@kubernetes/client-node/"))
          return undefined;
        if (path === "undici" || path === "./gen/index.js")
          return { path: "none", namespace: "client-node", sideEffects: false };
        const found = await resolve(path, { importer, kind, resolveDir, pluginData: NO_CLIENT_CALLS });
        if (isWhole && found.errors.length === 0)
          return { path: "parts", pluginData: dirname(found.path), namespace: "client-node", sideEffects: false };
        return { path: found.path, errors: found.errors, sideEffects: false };
      },
    );
  },
};

/** Parts of Node that libraries name and a program uses later, for some of its work only, or never. */
const LATER_PARTS = ["assert", "child_process", "cluster", "dns", "http2", "https", "tls", "tty", "vm", "zlib"];
/** Libraries, likewise: of client-node's all but for in-cluster credentials, of prom-client's for exemplars, and YAML for what `flatMapping` does not read. */
const LATER_LIBRARIES = [
  "@opentelemetry/api",
  "hpagent",
  "js-yaml",
  "jsonpath-plus",
  "openid-client",
  "socks",
  "socks-proxy-agent",
  "yaml",
];

/**
 * Loads those when one of their members is first asked for: a fifth of the agent's start, and 2 MB of its memory. What esbuild makes of a module for an `import` has the
 * module's prototype, so that has to look there too.
 */
const LATER_LOADED: Plugin = {
  name: "later-loaded",
  setup: ({ onLoad, onResolve }) => {
    onResolve({ filter: new RegExp(`^(node:)?(${LATER_PARTS.join("|")})$`) }, ({ path }) => ({
      path: path.replace("node:", ""),
      namespace: "later-loaded",
      pluginData: "process.getBuiltinModule",
    }));
    onResolve({ filter: new RegExp(`^(${LATER_LIBRARIES.join("|")})$`) }, ({ path, namespace }) =>
      namespace === "later-loaded" ? undefined : { path, namespace: "later-loaded", pluginData: "require" },
    );
    onLoad({ filter: /./, namespace: "later-loaded" }, ({ path, pluginData }) => ({
      contents: `const all = () => ${pluginData as string}("${path}");
        const get = (_, key) => key === "__esModule" ? undefined : all()[key];
        const apply = (_, self, given) => all().apply(self, given);
        const members = new Proxy({}, { get });
        module.exports = new Proxy(() => {}, { get, apply, getPrototypeOf: () => members });`,
      resolveDir: ROOT,
    }));
  },
};

/** Both programs: their entry below the root, and the name of their bundle. */
export const PROGRAMS = {
  driver: { entry: join(ROOT, "driver", "src", "main.ts"), file: "dracpu.cjs" },
  "nri-agent": { entry: join(ROOT, "nri-agent", "src", "main.ts"), file: "dracpu-agent.cjs" },
} as const;
export type ProgramName = keyof typeof PROGRAMS;

/** kubectl's plugin: a file without a suffix, so that kubectl finds it; an ES module, which Node tells by its looks. */
export const PLUGIN = { entry: join(ROOT, "driver", "src", "kubectl", "main.ts"), file: "kubectl-dracpu" } as const;
/** People have the Node they have; the first that reads the bundle. */
export const PLUGIN_NODE = [22, 15] as const;

/** Said before anything is loaded that an older Node does not have. */
const TOO_OLD = `{const[a,b]=process.versions.node.split(".").map(Number);if(a<${PLUGIN_NODE[0]}||(a===${PLUGIN_NODE[0]}&&b<${PLUGIN_NODE[1]})){console.error("kubectl-dracpu needs Node ${PLUGIN_NODE.join(".")} or later; this is "+process.versions.node);process.exit(2)}}`;

/**
 * One minified file for Node 24, from sources. The products are CommonJS: an ES module that imports `node:http` makes Node look at each of its exports, and so load the
 * whole of undici, 6 MB a process.
 *
 * @param libraries where else to look for them.
 * @param out `.cjs`, or `.mjs` or no suffix for programs that need an ES module. @returns its size in bytes, and what went into it.
 */
export async function bundle(
  entry: string,
  out: string,
  libraries: readonly string[] = [],
): Promise<{ size: number; metafile: Metafile }> {
  const isPlugin = entry === PLUGIN.entry;
  const isModule = isPlugin || out.endsWith(".mjs");
  const { metafile } = await build({
    entryPoints: [entry],
    outfile: out,
    bundle: true,
    platform: "node",
    format: isModule ? "esm" : "cjs",
    target: isPlugin ? `node${PLUGIN_NODE.join(".")}` : "node24",
    minify: true,
    metafile: true,
    absWorkingDir: ROOT,
    banner: {
      js: isModule
        ? ESM_BANNER + (isPlugin ? TOO_OLD : "")
        : cjsBanner(entry === PROGRAMS.driver.entry ? DRIVER_FIRST_PARTS : FIRST_PARTS),
    },
    define: isModule ? {} : { "import.meta.url": "__url" },
    nodePaths: [...libraries],
    plugins: isModule ? [NO_CLIENT_CALLS] : [NO_CLIENT_CALLS, LATER_LOADED, READ_DESCRIPTORS],
    inject: isModule ? [] : [join(ROOT, "images", "headers.ts")],
    logLevel: "warning",
  });
  return { size: statSync(out).size, metafile };
}
