import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { kubeOf } from "../build/products.ts";

const DOCUMENT = join(import.meta.dirname, "..", "..", "docs", "install.md");

/** A line of what `e2e/house/tally.ts` writes. */
interface Tally {
  readonly passes: number;
  readonly failures: number;
  readonly pending: number;
}

/** Writes how a smoke run on another Kubernetes ended into the table of docs/install.md. @param minor as `1.37`. @param tally the run's file. */
export function noteVersion(minor: string, tally: string, parts: readonly string[]): void {
  const { passes, failures, pending } = JSON.parse(readFileSync(tally, "utf8")) as Tally;
  const pinned = readFileSync(join(import.meta.dirname, "..", "build", kubeOf(minor), "go.mod"), "utf8");
  const version = /k8s\.io\/kubernetes v(\S+)/.exec(pinned)?.[1] ?? minor;
  const result = [`${passes} passed`, `${failures} failed`, ...(pending === 0 ? [] : [`${pending} skipped`])].join(
    ", ",
  );
  const row = `| ${version} | ${parts.join(", ")} | ${result} | ${new Date().toISOString().slice(0, 10)} |`;
  const lines = readFileSync(DOCUMENT, "utf8").split("\n");
  const at = lines.findIndex((line) => line.startsWith(`| ${minor}.`));
  if (at < 0) throw new Error(`${DOCUMENT} has no row of ${minor}`);
  lines.splice(at, 1, row);
  writeFileSync(DOCUMENT, lines.join("\n"));
}
