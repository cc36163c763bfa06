import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";

// The agent on real containerd without a kubelet, then in emulated machines; the topology against lscpu and hwloc. `--full`: long versions; `--only native|guest|topology`: one part;
// `--guest partitions|masks|modes|systemd`: of the guests this one.
if (process.getuid?.() !== 0) {
  console.error("npm run test:runtime needs root: it makes namespaces and cgroups, and runs containerd");
  process.exit(1);
}
const root = join(import.meta.dirname, "..", "..");
const after = (flag: string): string => {
  const at = process.argv.indexOf(flag);
  return at < 0 ? "" : (process.argv[at + 1] ?? "");
};
const only = after("--only");
const last = "e2e/runtime/leftovers.test.ts";
const files = globSync(`e2e/runtime/${only}*.test.ts`, { cwd: root }).filter((file) => file !== last);
const mocha = spawnSync(
  process.execPath,
  [
    join(root, "node_modules/mocha/bin/mocha.js"),
    ...["--no-config", "--reporter", "e2e/house/tally.ts", "--file", "e2e/runtime/untouched.ts"],
    ...[...files.sort().reverse(), last],
  ],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      DRACPU_GUEST: after("--guest"),
      ...(process.argv.includes("--full") ? { DRACPU_FULL: "1" } : {}),
    },
  },
);
process.exit(mocha.status ?? 1);
