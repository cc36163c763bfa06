import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { debianLicenses } from "./licenses.ts";
import type { Member } from "./tar.ts";

/** A file of the base that somebody else made, and whose it is. */
export interface Part {
  readonly name: string;
  readonly version: string;
  readonly supplier: string;
  readonly license: string;
  readonly files: readonly string[];
}

export interface Base {
  readonly members: readonly Member[];
  readonly parts: readonly Part[];
}

export const NODE_PATH = "usr/bin/node";

/** The locked npm package that holds Node for this machine's architecture. */
export function nodePackage(): { readonly dir: string; readonly name: string; readonly version: string } {
  const name = `node-linux-${process.arch}`;
  const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  return { dir: dirname(manifest), name, version };
}

/**
 * What both images stand on: Node from the locked npm package, without symbols, and the shared libraries that it asks for, from this machine's
 * Debian packages. No shell, no package manager, no other program.
 */
export function makeBase(): Base {
  const node = nodePackage();
  const original = join(node.dir, "bin", "node");
  const libraries = librariesOf(original);
  const debian = debianParts(libraries);
  const dirs = new Set(
    ["dev/", "etc/", "opt/", "opt/dracpu/", "proc/", "run/", "sys/", "tmp/", "usr/", "usr/bin/", "var/"].concat(
      libraries.flatMap(({ path }) => {
        const parts = dirname(path).split("/").slice(1);
        return parts.map((_, n) => `${parts.slice(0, n + 1).join("/")}/`);
      }),
    ),
  );
  const members: Member[] = [...dirs]
    .sort()
    .map((name) => ({ name, mode: name === "tmp/" ? 0o1777 : 0o755, type: "5" }));
  members.push(
    { name: "etc/passwd", mode: 0o644, type: "0", data: Buffer.from("root:x:0:0:root:/:/nonexistent\n") },
    { name: NODE_PATH, mode: 0o755, type: "0", data: withoutSymbols(original) },
    { name: "opt/dracpu/LICENSE.debian", mode: 0o644, type: "0", data: Buffer.from(debianLicenses(debian)) },
    { name: "opt/dracpu/LICENSE.node", mode: 0o644, type: "0", data: readFileSync(join(node.dir, "LICENSE")) },
    // /var/run is where runtimes and the kubelet say their sockets are.
    { name: "var/run", mode: 0o777, type: "2", link: "../run" },
    ...libraries.map(({ path }): Member => ({
      name: path.slice(1),
      mode: 0o755,
      type: "0",
      data: readFileSync(realpathSync(path)),
    })),
  );
  const parts: Part[] = [
    {
      name: "node",
      version: process.versions.node,
      supplier: "Organization: OpenJS Foundation",
      license: "MIT",
      files: [NODE_PATH],
    },
    ...debian,
  ];
  return { members, parts };
}

interface Library {
  readonly path: string;
  readonly debian: string;
}

/** By the loader's own word, which names the loader too. */
function librariesOf(program: string): Library[] {
  const lines = execFileSync("ldd", [program], { encoding: "utf8" }).split("\n");
  const paths = lines.flatMap((line) => /(?:=>\s*|^\s*)(\/\S+) \(0x/.exec(line)?.[1] ?? []);
  if (!paths.some((path) => path.includes("ld-linux")) || paths.length < 2)
    throw new Error(`Cannot find the shared libraries of ${program}: ldd says ${JSON.stringify(lines)}`);
  return paths.sort().map((path) => ({ path, debian: ownerOf(path) }));
}

/** Debian's files moved below /usr, and its packages' lists did not always. */
function ownerOf(path: string): string {
  for (const candidate of [
    path,
    realpathSync(path),
    realpathSync(path).replace(/^\/usr/, ""),
    path.replace(/^\/usr/, ""),
  ]) {
    try {
      return execFileSync("dpkg-query", ["-S", candidate], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
        .split("\n")[0]
        ?.split(": ")[0] as string;
    } catch {
      // The next spelling.
    }
  }
  throw new Error(`Cannot tell which Debian package ${path} is from: images are built on Debian`);
}

function debianParts(libraries: readonly Library[]): Part[] {
  return [...new Set(libraries.map((one) => one.debian))].sort().map((debian) => ({
    name: debian.split(":")[0] ?? debian,
    version: execFileSync("dpkg-query", ["-W", "-f", "${Version}", debian], { encoding: "utf8" }),
    supplier: "Organization: Debian",
    // Debian tells licenses in prose only; both packages' own words are the same.
    license: debian.startsWith("libc6") ? "LGPL-2.1-or-later" : "GPL-3.0-or-later WITH GCC-exception-3.1",
    files: libraries.filter((one) => one.debian === debian).map((one) => one.path.slice(1)),
  }));
}

function withoutSymbols(program: string): Buffer {
  const dir = mkdtempSync(join(tmpdir(), "base-"));
  try {
    const copy = join(dir, "node");
    copyFileSync(program, copy);
    execFileSync("strip", ["--strip-all", copy]);
    return readFileSync(copy);
  } finally {
    rmSync(dir, { recursive: true });
  }
}
