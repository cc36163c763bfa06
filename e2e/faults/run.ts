import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

// The suite of faults; what is random comes again with the seed that it prints. In an order that ends with what takes a whole node.
const { values } = parseArgs({
  options: {
    /** Of each random weather. */
    minutes: { type: "string" },
    seed: { type: "string" },
    /** Pods against the runtime that is played. */
    cycles: { type: "string" },
    /** Pods on real containerd. */
    pods: { type: "string" },
    /** Every instant, and thirty times as much hostile input. */
    full: { type: "boolean" },
    /** Files whose path contains this. */
    only: { type: "string", default: "" },
  },
});
if (process.getuid?.() !== 0) {
  console.error("npm run test:faults needs root: it makes namespaces and cgroups, and runs containerd and a kubelet");
  process.exit(1);
}
const root = join(import.meta.dirname, "..", "..");
const last = ["e2e/faults/runtime/", "e2e/faults/node/"];
const rank = (path: string): number => last.findIndex((dir) => path.startsWith(dir));
const files = globSync("e2e/faults/**/*.test.ts", { cwd: root })
  .filter((path) => path.includes(values.only))
  .sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
const env: Record<string, string | undefined> = {
  DRACPU_MINUTES: values.minutes,
  DRACPU_SEED: values.seed,
  DRACPU_CYCLES: values.cycles,
  DRACPU_PODS: values.pods,
  DRACPU_FULL: values.full === true ? "1" : undefined,
};
const mocha = spawnSync(
  process.execPath,
  [join(root, "node_modules/mocha/bin/mocha.js"), "--no-config", "--reporter", "e2e/house/tally.ts", ...files],
  {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, ...Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined)) },
  },
);
process.exit(mocha.status ?? 1);
