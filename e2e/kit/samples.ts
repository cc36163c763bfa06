import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { IMAGE } from "./image/image.ts";

const EXAMPLES = join(import.meta.dirname, "..", "..", "examples");
/** Those that need more CPUs than a node of two has. */
export const LARGE_SAMPLES = ["aligned", "individual", "numa-node", "two-containers", "whole-cores"] as const;

export function sampleNames(): string[] {
  return readdirSync(EXAMPLES).flatMap((name) => (name.endsWith(".yaml") ? [name.replace(".yaml", "")] : []));
}

/** With the test image in place of the one that a person would pull. */
export function sampleText(name: string): string {
  return readFileSync(join(EXAMPLES, `${name}.yaml`), "utf8").replaceAll("image: busybox", `image: ${IMAGE}`);
}
