import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { VERSION } from "../shared-proto/src/contract/version.ts";
import { krewPlugin } from "./krew.ts";
import { npmPlugin } from "./npm.ts";
import { bundle, PLUGIN, PLUGIN_NODE, PROGRAMS, type ProgramName } from "./bundle.ts";
import { commandOf, makeContents, unpack } from "./contents.ts";
import { ENVIRONMENT } from "./environment.ts";
import { layer, writeImages, type Image } from "./oci.ts";

const ROOT = join(import.meta.dirname, "..");
const NAMES = ["driver", "nri-agent"] as const;
/** Both images, uncompressed, with what they share counted once. */
const MAX_BYTES = 130e6;

export interface ImageOptions {
  /** Each image's name is added to it. */
  readonly repository?: string;
  /** The same programs under several names, such as those of a release and of the one after it. */
  readonly tags?: readonly string[];
  readonly compress?: boolean;
}

export interface Built {
  readonly archive: string;
  readonly references: readonly string[];
  readonly bytes: number;
}

/** Builds both images without any daemon, as one OCI layout `images.tar` in `out` with an SBOM for each beside it. */
export async function buildImages(out: string, options: ImageOptions = {}): Promise<Built> {
  const { repository = "localhost/dra-driver-cpu", tags = [VERSION], compress = false } = options;
  mkdirSync(out, { recursive: true });
  const contents = await makeContents();
  const shared = layer(contents.base, "node and its libraries", compress);
  const images = NAMES.flatMap((name): Image[] => {
    writeFileSync(join(out, `${name}.spdx.json`), contents.sboms[name]);
    const own = layer(contents.programs[name], commandOf(name), compress);
    return tags.map((tag) => ({
      reference: `${repository}/${name}:${tag}`,
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      created: contents.created,
      layers: [shared, own],
      config: configOf(name, tag, contents.revision),
    }));
  });
  const archive = join(out, "images.tar");
  writeImages(archive, images);
  const bytes = new Map(images.flatMap((one) => one.layers).map((one) => [one.diffId, one.uncompressed]));
  return {
    archive,
    references: images.map((one) => one.reference),
    bytes: [...bytes.values()].reduce((sum, one) => sum + one, 0),
  };
}

/** What the Dockerfile says as well. */
export function configOf(name: ProgramName, tag: string, revision: string): Image["config"] {
  return {
    Entrypoint: [`/usr/bin/${commandOf(name)}`],
    Cmd: ["run"],
    Env: ["PATH=/usr/bin", ...Object.entries(ENVIRONMENT).map(([key, value]) => `${key}=${value}`)],
    User: "0:0",
    WorkingDir: "/",
    Labels: {
      "org.opencontainers.image.title": `dra-driver-cpu ${name}`,
      "org.opencontainers.image.description": "Exclusive CPUs for Kubernetes pods through Dynamic Resource Allocation",
      "org.opencontainers.image.version": VERSION,
      "org.opencontainers.image.ref.name": tag,
      "org.opencontainers.image.revision": revision,
      "org.opencontainers.image.licenses": "Apache-2.0",
    },
  };
}

async function main(argv: readonly string[]): Promise<void> {
  const value = (flag: string): string | undefined => {
    const at = argv.indexOf(flag);
    return at < 0 ? undefined : argv[at + 1];
  };
  if (argv.includes("--bundles")) {
    for (const { entry, file } of [...Object.values(PROGRAMS), PLUGIN]) {
      const { size } = await bundle(entry, join(ROOT, "dist", file));
      chmodSync(join(ROOT, "dist", file), 0o755);
      console.log(`dist/${file}: ${(size / 1024).toFixed(0)} KiB`);
    }
    const name = `${PLUGIN.file}-v${VERSION}.tar.gz`;
    const [plugin, license] = [join(ROOT, "dist", PLUGIN.file), join(ROOT, "LICENSE")].map((path) =>
      readFileSync(path),
    );
    if (plugin === undefined || license === undefined) throw new Error("there is no plugin to pack");
    const { archive, manifest } = krewPlugin(
      VERSION,
      `${value("--uri") ?? "https://localhost"}/${name}`,
      plugin,
      license,
    );
    writeFileSync(join(ROOT, "dist", name), archive);
    writeFileSync(join(ROOT, "dist", "dracpu.yaml"), manifest);
    const packed = `${PLUGIN.file}-${VERSION}.tgz`;
    writeFileSync(join(ROOT, "dist", packed), npmPlugin(VERSION, plugin, license, PLUGIN_NODE.join(".")));
    console.log(`dist/${packed}, for npm`);
    console.log(`dist/${name}, and its manifest for Krew, dist/dracpu.yaml`);
    return;
  }
  const directory = value("--directory");
  if (directory !== undefined) {
    const contents = await makeContents();
    unpack(contents.base, join(directory, "base"));
    for (const name of NAMES) unpack(contents.programs[name], join(directory, name));
    return;
  }
  const began = Date.now();
  const [repository, tag] = [value("--repository"), value("--tag")];
  const built = await buildImages(join(ROOT, "dist"), {
    ...(repository === undefined ? {} : { repository }),
    ...(tag === undefined ? {} : { tags: [tag] }),
    compress: argv.includes("--compress"),
  });
  console.log(`${built.references.join("\n")}\nin dist/images.tar, an OCI layout; SBOMs beside it`);
  const took = ((Date.now() - began) / 1000).toFixed(1);
  console.log(
    `both together ${(built.bytes / 1e6).toFixed(1)} MB uncompressed, of ${MAX_BYTES / 1e6} allowed; ${took} s`,
  );
  if (built.bytes > MAX_BYTES) process.exitCode = 1;
}

// npm run images [-- --repository REPOSITORY --tag TAG --compress]; `--bundles [--uri WHERE]` makes what hosts run without images, and kubectl's plugin for Krew.
if (import.meta.main) await main(process.argv.slice(2));
