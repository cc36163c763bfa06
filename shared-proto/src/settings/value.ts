import type { Setting } from "./settings.ts";

/** @returns a sentence where the setting cannot have the value. */
export function wrongWith(setting: Setting, value: string | number | boolean | undefined): string | undefined {
  if (setting.choices !== undefined && !setting.choices.includes(String(value)))
    return `${JSON.stringify(value)} is none of ${setting.choices.join(", ")}`;
  if (setting.type === "number" && !Number.isInteger(value)) return `${JSON.stringify(value)} is no whole number`;
  return setting.check?.(String(value));
}
