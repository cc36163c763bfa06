import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dirname, "..", "..");
/** Template, and where its output lies. */
const TARGETS = [
  ["buf.gen.yaml", "shared-proto/src/gen"],
  ["e2e/kit/cri/buf.gen.yaml", "e2e/kit/cri/gen"],
] as const;

function files(dir: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) found.set(path.slice(dir.length), readFileSync(path, "utf8"));
  }
  return found;
}

// Writes the generated code anew, or with --check says which of it is stale.
const check = process.argv.includes("--check");
const stale: string[] = [];
for (const [template, out] of TARGETS) {
  const buf = join(ROOT, "node_modules/.bin/buf");
  if (!check) {
    execFileSync(buf, ["generate", "--template", template], { cwd: ROOT, stdio: "inherit" });
    continue;
  }
  const temporary = mkdtempSync(join(tmpdir(), "gen-"));
  try {
    execFileSync(buf, ["generate", "--template", template, "--output", temporary], { cwd: ROOT, stdio: "inherit" });
    const fresh = files(join(temporary, out));
    const have = files(join(ROOT, out));
    for (const path of new Set([...fresh.keys(), ...have.keys()]))
      if (fresh.get(path) !== have.get(path)) stale.push(out + path);
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}
if (stale.length > 0) {
  console.error(`Generated code is not current; run npm run gen:\n${stale.join("\n")}`);
  process.exit(1);
}
