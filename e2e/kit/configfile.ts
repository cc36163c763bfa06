import { writeFileSync } from "node:fs";
import type { Setting } from "@dracpu/shared-proto/settings/settings.ts";

/** The same as `flags`, by a configuration file, as a pod has it. @returns arguments. */
export function byConfigFile(settings: readonly Setting[], flags: readonly string[], path: string): string[] {
  const values: Record<string, string> = {};
  for (let n = 0; n < flags.length; n += 2) {
    const key = settings.find((one) => `--${one.flag}` === flags[n])?.key;
    if (key === undefined) throw new Error(`there is no flag ${flags[n] ?? ""}`);
    values[key] = flags[n + 1] ?? "";
  }
  writeFileSync(path, JSON.stringify(values));
  return [`--config=${path}`];
}
