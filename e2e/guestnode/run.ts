import { spawnSync } from "node:child_process";
import { join } from "node:path";

// The product as helm installs it on nodes that are emulated machines, larger than this one. `npm run e2e:guest [-- PART...]`: parts in this order; each begins with what the ones before left.
if (process.getuid?.() !== 0) {
  console.error("npm run e2e:guest needs root: it makes namespaces, and imports images into a containerd");
  process.exit(1);
}
const parts = ["modes", "strategies", "crowd", "second", "leftovers"];
const only = process.argv.slice(2).filter((one) => !one.startsWith("-"));
const root = join(import.meta.dirname, "..", "..");
const files = parts
  .filter((part) => only.length === 0 || only.includes(part))
  .map((part) => join("e2e/guestnode", `${part}.test.ts`));
const mocha = spawnSync(
  process.execPath,
  [join(root, "node_modules/mocha/bin/mocha.js"), "--no-config", "--reporter", "e2e/house/tally.ts", ...files],
  { cwd: root, stdio: "inherit" },
);
process.exit(mocha.status ?? 1);
