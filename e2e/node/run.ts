import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";

// The suite of the real node. `--full` adds what takes minutes, such as the kubelet's default retry interval; the rest is mocha's (`--grep`).
if (process.getuid?.() !== 0) {
  console.error("npm run test:node needs root: it makes namespaces and cgroups, and runs a kubelet");
  process.exit(1);
}
const full = process.argv.includes("--full");
const rest = process.argv.slice(2).filter((arg) => arg !== "--full");
const root = join(import.meta.dirname, "..", "..");
const last = ["e2e/node/leftovers.test.ts", "e2e/node/byhand.test.ts"];
const files = [...globSync("e2e/node/*.test.ts", { cwd: root, exclude: last }).sort(), ...last];
const mocha = spawnSync(
  process.execPath,
  [join(root, "node_modules/mocha/bin/mocha.js"), "--no-config", "--reporter", "e2e/house/tally.ts", ...rest, ...files],
  {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...(full ? { DRACPU_FULL: "1" } : {}) },
  },
);
process.exit(mocha.status ?? 1);
