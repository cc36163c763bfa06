import { LabelsFile } from "@dracpu/shared-proto/disk/labelsfile.ts";
import { labelsSpokenOf, resolveSettings, type Values } from "@dracpu/shared-proto/settings/settings.ts";
import { DRIVER_SETTINGS, driverSettings, type DriverSettings } from "../config/settings.ts";

/** What yargs made of the command line. */
export type Argv = Readonly<Record<string, unknown>>;

/** Does what was asked. @returns the exit status: 0 fine, 3 something is wrong, 4 warnings only. */
export type Command = (argv: Argv) => Promise<number>;

/** Settings by the node's labels hold as the driver saw these last. @throws SettingsFault */
export function valuesOf(argv: Argv, env: Readonly<Record<string, string | undefined>> = process.env): Values {
  const values = resolveSettings(DRIVER_SETTINGS, argv, env);
  if (labelsSpokenOf(DRIVER_SETTINGS, argv, env).length === 0) return values;
  return resolveSettings(DRIVER_SETTINGS, argv, env, new LabelsFile(String(values["stateDir"])).lastSeen() ?? {});
}

/** @throws SettingsFault */
export function settingsOf(argv: Argv): DriverSettings {
  return driverSettings(valuesOf(argv));
}

export function isJson(argv: Argv): boolean {
  return argv["output"] === "json";
}

export function textOf(argv: Argv, flag: string, byDefault: string): string {
  const given = argv[flag];
  return typeof given === "string" && given !== "" ? given : byDefault;
}

export function jsonText(value: unknown): string {
  return JSON.stringify(value, undefined, 2);
}

export function printJson(value: unknown): void {
  console.log(jsonText(value));
}
