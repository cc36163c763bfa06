import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brotliCompressSync, constants } from "node:zlib";
import { bundle } from "../../../images/bundle.ts";
import { FIXTURE, PROGRAMS } from "./older.ts";

// Makes the fixture of an older version anew: argv is the commit. The bundles are that commit's sources with today's libraries.
const [commit = ""] = process.argv.slice(2);
const root = join(import.meta.dirname, "..", "..", "..");
const dir = mkdtempSync(join(tmpdir(), "skew-"));
try {
  const archive = execFileSync("git", ["archive", commit, "driver", "nri-agent", "shared-proto"], {
    cwd: root,
    maxBuffer: 1 << 28,
  });
  execFileSync("tar", ["-x", "-C", dir], { input: archive });
  mkdirSync(join(dir, "node_modules", "@dracpu"), { recursive: true });
  for (const name of ["driver", "nri-agent", "shared-proto"])
    symlinkSync(join(dir, name), join(dir, "node_modules", "@dracpu", name));
  for (const { name, entry } of PROGRAMS) {
    const out = join(dir, name);
    await bundle(join(dir, entry), out, [join(root, "node_modules")]);
    const small = brotliCompressSync(readFileSync(out), { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
    mkdirSync(FIXTURE, { recursive: true });
    writeFileSync(join(FIXTURE, `${name}.br`), small);
    console.log(`${name}: ${Math.round(small.length / 1024)} KiB`);
  }
  const full = execFileSync("git", ["rev-parse", "--short", commit], { cwd: root, encoding: "utf8" }).trim();
  writeFileSync(join(FIXTURE, "commit.txt"), `${full}\n`);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
