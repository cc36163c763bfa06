import { spawnSync } from "node:child_process";
import { join } from "node:path";

// The product as helm installs it on nodes that are emulated machines, larger than this one. `npm run e2e:guest [-- PART...]`: parts in this order; each begins with
// what the ones before left. Without a part it is what the gate has time for; `--full` is all of it, and every device mode.
if (process.getuid?.() !== 0) {
  console.error("npm run e2e:guest needs root: it makes namespaces, and imports images into a containerd");
  process.exit(1);
}
const parts = ["modes", "samples", "strategies", "crowd", "lifecycle", "problems", "second", "leftovers"];
const SHORT = ["modes", "crowd", "leftovers"];
const full = process.argv.includes("--full");
const named = process.argv.slice(2).filter((one) => !one.startsWith("-"));
const only = named.length === 0 && !full ? SHORT : named;
const root = join(import.meta.dirname, "..", "..");
const files = parts
  .filter((part) => only.length === 0 || only.includes(part))
  .map((part) => join("e2e/guestnode", `${part}.test.ts`));
const mocha = spawnSync(
  process.execPath,
  [join(root, "node_modules/mocha/bin/mocha.js"), "--no-config", "--reporter", "e2e/house/tally.ts", ...files],
  { cwd: root, stdio: "inherit", env: { ...process.env, ...(full ? { DRACPU_FULL: "1" } : {}) } },
);
process.exit(mocha.status ?? 1);
