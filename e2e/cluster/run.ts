import { spawnSync } from "node:child_process";
import { join } from "node:path";

// The product as an operator gets it: real helm installs the chart from the built images on the real node.
if (process.getuid?.() !== 0) {
  console.error("npm run e2e needs root: it makes namespaces and cgroups, and runs a kubelet");
  process.exit(1);
}
// In this order: each begins with what the one before left.
const parts = [
  "chart",
  "install",
  "samples",
  "rights",
  "plugin",
  "each",
  "upgrade",
  "uninstall",
  "manifest",
  "quickstart",
  "leftovers",
];
const only = process.argv.slice(2).filter((one) => !one.startsWith("-"));
const root = join(import.meta.dirname, "..", "..");
const files = parts
  .filter((part) => only.length === 0 || only.includes(part))
  .map((part) => join("e2e/cluster", `${part}.test.ts`));
const mocha = spawnSync(
  process.execPath,
  [join(root, "node_modules/mocha/bin/mocha.js"), "--no-config", "--reporter", "e2e/house/tally.ts", ...files],
  { cwd: root, stdio: "inherit" },
);
process.exit(mocha.status ?? 1);
