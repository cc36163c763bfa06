import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { kubeOf } from "../build/products.ts";
import { noteVersion } from "./versions.ts";

// The product as an operator gets it: real helm installs the chart from the built images on the real node. `--full`: the long version of what has one.
if (process.getuid?.() !== 0) {
  console.error("npm run e2e needs root: it makes namespaces and cgroups, and runs a kubelet");
  process.exit(1);
}
// In this order: each begins with what the one before left.
const parts = [
  "chart",
  "rendered",
  "replaceimage",
  "install",
  "images",
  "resize",
  "samples",
  "odd",
  "rights",
  "plugin",
  "each",
  "away",
  "upgrade",
  "uninstall",
  "unsuitable",
  "older",
  "takeover",
  "manifest",
  "manifestgone",
  "quickstart",
  "leftovers",
];
const { values, positionals } = parseArgs({
  options: { kube: { type: "string" }, full: { type: "boolean" } },
  allowPositionals: true,
});
const root = join(import.meta.dirname, "..", "..");
/** Of another Kubernetes: that it installs, pins, resizes, is seen by kubectl's plugin, and goes away. */
const SMOKE = ["install", "resize", "samples", "plugin", "uninstall", "leftovers"];
const only = positionals.length === 0 && values.kube !== undefined ? SMOKE : positionals;
if (values.kube !== undefined) {
  const built = spawnSync(process.execPath, [join(root, "e2e/build/build.ts"), kubeOf(values.kube)], {
    stdio: "inherit",
  });
  if (built.status !== 0) process.exit(1);
}
const files = parts
  .filter((part) => only.length === 0 || only.includes(part))
  .map((part) => join("e2e/cluster", `${part}.test.ts`));
const scratch = mkdtempSync(join(tmpdir(), "e2e-"));
// Of a smoke run the numbers go to docs/install.md, where they are asked for.
const tally = process.env["DRACPU_TALLY"] ?? join(scratch, "tally");
const mocha = spawnSync(
  process.execPath,
  [join(root, "node_modules/mocha/bin/mocha.js"), "--no-config", "--reporter", "e2e/house/tally.ts", ...files],
  {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      DRACPU_TALLY: tally,
      ...(values.kube === undefined ? {} : { DRACPU_KUBE: values.kube }),
      ...(values.full === true ? { DRACPU_FULL: "1" } : {}),
    },
  },
);
if (values.kube !== undefined && process.env["DRACPU_WRITE"] !== undefined) noteVersion(values.kube, tally, only);
rmSync(scratch, { recursive: true });
process.exit(mocha.status ?? 1);
