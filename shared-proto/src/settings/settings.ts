import { readFileSync } from "node:fs";
import { closest, distance } from "fastest-levenshtein";
import { LineCounter, parseDocument } from "yaml";
import type { Options } from "yargs";

/** One setting of a program: a flag, a key of the configuration file, a default, and a check. */
export interface Setting {
  /** Key in the configuration file; the flag is its kebab case unless `flag` says otherwise. */
  readonly key: string;
  readonly flag: string;
  readonly aliases?: readonly string[];
  readonly type: "string" | "number" | "boolean";
  readonly choices?: readonly string[];
  readonly default: string | number | boolean;
  /** Environment variable that is used where neither flag nor file says anything. */
  readonly env?: string;
  readonly describe: string;
  /** @returns a sentence where the value cannot be used. */
  readonly check?: (value: string) => string | undefined;
}

export type Values = Readonly<Record<string, string | number | boolean>>;

/** A configuration that cannot be used; the text holds every offender, one a line. */
export class SettingsFault extends Error {
  override readonly name = "SettingsFault";
}

/** The settings as yargs wants them; without defaults, so that what a person wrote can be told from what nobody did. */
export function flagsOf(settings: readonly Setting[]): Record<string, Options> {
  const flags: Record<string, Options> = {
    config: { type: "string", describe: "YAML file with the same settings by their keys; flags win over it" },
  };
  for (const setting of settings) {
    flags[setting.flag] = {
      // A number is read here, so that what is none can be shown.
      type: setting.type === "boolean" ? "boolean" : "string",
      requiresArg: setting.type !== "boolean",
      describe: `${setting.describe} [default: ${shown(setting.default)}]`,
      ...(setting.aliases === undefined ? {} : { alias: [...setting.aliases] }),
      ...(setting.choices === undefined ? {} : { choices: setting.choices }),
    };
  }
  return flags;
}

/**
 * Layers: defaults, environment, configuration file, flags; the later wins. Unknown, misspelt, doubled and mistyped keys are errors.
 *
 * @param argv flags as yargs parsed them, by flag name; what was not given is `undefined`.
 * @throws SettingsFault
 */
export function resolveSettings(
  settings: readonly Setting[],
  argv: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
): Values {
  const values: Record<string, string | number | boolean> = {};
  const wrong: string[] = [];
  for (const setting of settings) {
    values[setting.key] = setting.default;
    const fromEnv = setting.env === undefined ? undefined : env[setting.env];
    if (fromEnv !== undefined && fromEnv !== "") values[setting.key] = fromEnv;
  }
  const file = argv["config"];
  if (typeof file === "string" && file !== "") Object.assign(values, readConfigFile(settings, file));
  for (const setting of settings) {
    const given = argv[setting.flag];
    if (Array.isArray(given)) wrong.push(`--${setting.flag} is given more than once`);
    else if (given !== undefined) values[setting.key] = given as string | number | boolean;
    const value = values[setting.key];
    if (setting.type === "number" && typeof value === "string" && /^-?\d+$/.test(value))
      values[setting.key] = Number(value);
  }
  for (const setting of settings) {
    const value = values[setting.key];
    if (setting.choices !== undefined && !setting.choices.includes(String(value))) {
      wrong.push(
        `${setting.key} (--${setting.flag}): ${JSON.stringify(value)} is none of ${setting.choices.join(", ")}`,
      );
      continue;
    }
    if (setting.type === "number" && !Number.isInteger(value)) {
      wrong.push(`${setting.key} (--${setting.flag}): ${JSON.stringify(value)} is no whole number`);
      continue;
    }
    const why = setting.check?.(String(value));
    if (why !== undefined) wrong.push(`${setting.key} (--${setting.flag}): ${why}`);
  }
  if (wrong.length > 0) throw new SettingsFault(wrong.join("\n"));
  return values;
}

function readConfigFile(settings: readonly Setting[], path: string): Record<string, string | number | boolean> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new SettingsFault(`Cannot read the configuration file ${path}: ${(cause as Error).message}`, { cause });
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const first = document.errors[0];
  if (first !== undefined) throw new SettingsFault(`Cannot use the configuration file ${path}: ${first.message}`);
  const content: unknown = document.toJS();
  if (content === null || content === undefined) return {};
  if (typeof content !== "object" || Array.isArray(content)) {
    throw new SettingsFault(`Cannot use the configuration file ${path}: it is no mapping of settings to values`);
  }
  const found: Record<string, string | number | boolean> = {};
  const wrong: string[] = [];
  const keys = settings.map((setting) => setting.key);
  for (const [key, value] of Object.entries(content as Record<string, unknown>)) {
    const setting = settings.find((one) => one.key === key);
    if (setting === undefined) {
      const near = closest(key, keys);
      const hint =
        distance(key.toLowerCase(), near.toLowerCase()) <= 4
          ? `; did you mean ${near}?`
          : `; known are ${keys.join(", ")}`;
      wrong.push(`${path}: unknown setting ${JSON.stringify(key)}${hint}`);
    } else if (value === null) continue;
    else if (typeof value !== setting.type) {
      const quote = setting.type === "string" && typeof value === "number" ? `; write it in quotes: "${value}"` : "";
      wrong.push(`${path}: ${key} has to be a ${setting.type}, and is ${JSON.stringify(value)}${quote}`);
    } else found[key] = value as string | number | boolean;
  }
  if (wrong.length > 0) throw new SettingsFault(wrong.join("\n"));
  return found;
}

/** The table of the README: one row a setting, in the order of the code. */
export function flagTable(settings: readonly Setting[]): string {
  const rows = settings.map((setting) => {
    const names = [setting.flag, ...(setting.aliases ?? [])].map((name) => `\`--${name}\``).join(", ");
    const choices =
      setting.choices === undefined ? "" : ` One of ${setting.choices.map((one) => `\`${one}\``).join(", ")}.`;
    const env = setting.env === undefined ? "" : ` Else \`$${setting.env}\`.`;
    return `| ${names} | \`${setting.key}\` | ${shown(setting.default) === "" ? "" : `\`${shown(setting.default)}\``} | ${setting.describe}.${choices}${env} |`;
  });
  return ["| flag | key in the file | default | |", "|---|---|---|---|", ...rows].join("\n");
}

function shown(value: string | number | boolean): string {
  return String(value);
}
