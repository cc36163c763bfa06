import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Metafile } from "esbuild";
import { VERSION } from "../shared-proto/src/contract/version.ts";
import { bakeCompileCaches } from "./bake.ts";
import { makeBase, NODE_PATH } from "./base.ts";
import { bundle, PROGRAMS, type ProgramName } from "./bundle.ts";
import { bundledLicenses } from "./licenses.ts";
import { sbomOf } from "./sbom.ts";
import type { Member } from "./tar.ts";

const ROOT = join(import.meta.dirname, "..");

/** Files of the layer that both images share, of each one's own layer, and what is said of them. */
export interface Contents {
  readonly base: readonly Member[];
  readonly programs: Readonly<Record<ProgramName, readonly Member[]>>;
  readonly sboms: Readonly<Record<ProgramName, string>>;
  /** Time and name of the sources' commit, so that the same commit makes the same labels. */
  readonly created: string;
  readonly revision: string;
}

/** Command in the image, such as `dracpu`. */
export function commandOf(name: ProgramName): string {
  return PROGRAMS[name].file.replace(".cjs", "");
}

export async function makeContents(): Promise<Contents> {
  const staging = mkdtempSync(join(tmpdir(), "im-"));
  try {
    const base = makeBase();
    const { created, revision } = commit();
    const driver = await program(join(staging, "driver"), "driver");
    const agent = await program(join(staging, "agent"), "nri-agent");
    await bakeCompileCaches({ driver, agent });
    const sboms = {
      driver: sbomOf("driver", VERSION, created, driver.metafile, base.parts),
      "nri-agent": sbomOf("nri-agent", VERSION, created, agent.metafile, base.parts),
    };
    const programs = {
      driver: membersOf("driver", driver, sboms.driver),
      "nri-agent": membersOf("nri-agent", agent, sboms["nri-agent"]),
    };
    return { base: base.members, programs, sboms, created, revision };
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

interface Made {
  readonly file: string;
  readonly metafile: Metafile;
  /** Beside the bundle, as in the image. */
  readonly cache: string;
}

async function program(dir: string, name: ProgramName): Promise<Made> {
  const file = join(dir, PROGRAMS[name].file);
  const { metafile } = await bundle(PROGRAMS[name].entry, file);
  // There is no env(1) in the image.
  writeFileSync(file, readFileSync(file, "utf8").replace(/^#!.*/, `#!/${NODE_PATH}`));
  return { file, metafile, cache: join(dir, "cache") };
}

function membersOf(name: ProgramName, made: Made, sbom: string): Member[] {
  const path = `opt/dracpu/${PROGRAMS[name].file}`;
  return [
    { name: path, mode: 0o755, type: "0", data: readFileSync(made.file) },
    { name: `usr/bin/${commandOf(name)}`, mode: 0o777, type: "2", link: `/${path}` },
    { name: "opt/dracpu/sbom.spdx.json", mode: 0o644, type: "0", data: Buffer.from(sbom) },
    {
      name: "opt/dracpu/LICENSE.packages",
      mode: 0o644,
      type: "0",
      data: Buffer.from(bundledLicenses(made.metafile)),
    },
    { name: "opt/dracpu/LICENSE", mode: 0o644, type: "0", data: readFileSync(join(ROOT, "LICENSE")) },
    ...filesBelow(made.cache, "opt/dracpu/cache"),
  ];
}

function filesBelow(dir: string, name: string): Member[] {
  const below = readdirSync(dir, { withFileTypes: true }).flatMap((entry): Member[] =>
    entry.isDirectory()
      ? filesBelow(join(dir, entry.name), `${name}/${entry.name}`)
      : [{ name: `${name}/${entry.name}`, mode: 0o644, type: "0", data: readFileSync(join(dir, entry.name)) }],
  );
  return [{ name: `${name}/`, mode: 0o755, type: "5" }, ...below];
}

/** By git, or where the sources came without it, by what the Dockerfile was told. */
function commit(): { created: string; revision: string } {
  const at = (seconds: string): string => new Date(Number(seconds) * 1000).toISOString().replace(".000Z", "Z");
  try {
    const text = execFileSync("git", ["log", "-1", "--format=%ct %H"], {
      cwd: ROOT,
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
    });
    const [seconds = "", revision = ""] = text.trim().split(" ");
    return { created: at(seconds), revision };
  } catch {
    return { created: at(process.env["SOURCE_DATE_EPOCH"] ?? "0"), revision: process.env["REVISION"] ?? "unknown" };
  }
}

/** For a Dockerfile's COPY, which keeps modes: those that the members have, whatever this process's umask is. */
export function unpack(members: readonly Member[], dir: string): void {
  const umask = process.umask(0);
  try {
    for (const { name, mode, type, data, link } of members) {
      const path = join(dir, name);
      mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
      if (type === "5") mkdirSync(path, { recursive: true, mode });
      else if (type === "2") symlinkSync(link ?? "", path);
      else writeFileSync(path, data ?? "", { mode });
    }
  } finally {
    process.umask(umask);
  }
}
