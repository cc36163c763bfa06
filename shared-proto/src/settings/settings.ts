import type { Options } from "yargs";
import { readConfigFile, SettingsFault, type ConfigFile } from "./file.ts";
import { wrongWith } from "./value.ts";

export { SettingsFault };

/** One setting of a program: a flag, a key of the configuration file, a default, and a check. */
export interface Setting {
  /** Key in the configuration file; the flag is its kebab case unless `flag` says otherwise. */
  readonly key: string;
  /** Other names that the file may give it. */
  readonly keyAliases?: readonly string[];
  readonly flag: string;
  readonly aliases?: readonly string[];
  readonly type: "string" | "number" | "boolean";
  readonly choices?: readonly string[];
  readonly default: string | number | boolean;
  /** Environment variable that is used where neither flag nor file says anything. */
  readonly env?: string;
  /** What is taken where the value is empty, in words. */
  readonly otherwise?: string;
  readonly describe: string;
  /** An entry `perNode` of the file may set it for nodes with certain labels. */
  readonly perNode?: boolean;
  /** @returns a sentence where the value cannot be used. */
  readonly check?: (value: string) => string | undefined;
}

export type Values = Readonly<Record<string, string | number | boolean>>;

/** What an entry asks for. */
export type Labels = Readonly<Record<string, string>>;

type Env = Readonly<Record<string, string | undefined>>;

/** Names the configuration file where `--config` does not: so that whoever looks from a container of the pod goes by the settings that the program runs with. */
const CONFIG_ENV = "DRACPU_CONFIG";

function configOf(argv: Readonly<Record<string, unknown>>, env: Env): string {
  const named = argv["config"] ?? env[CONFIG_ENV];
  return typeof named === "string" ? named : "";
}

/** The settings as yargs wants them; without defaults, so that what a person wrote can be told from what nobody did. */
export function flagsOf(settings: readonly Setting[]): Record<string, Options> {
  const flags: Record<string, Options> = {
    config: {
      type: "string",
      describe: `YAML file with the same settings by their keys; flags win over it [default: $${CONFIG_ENV}]`,
    },
  };
  for (const setting of settings) {
    flags[setting.flag] = {
      // A number is read here, so that what is none can be shown.
      type: setting.type === "boolean" ? "boolean" : "string",
      requiresArg: setting.type !== "boolean",
      describe: `${described(setting, (name) => `$${name}`)} [default: ${shown(setting.default)}]`,
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
 * @param labels the node's, for entries `perNode` of the file.
 * @param file where it was read already.
 * @throws SettingsFault
 */
export function resolveSettings(
  settings: readonly Setting[],
  argv: Readonly<Record<string, unknown>>,
  env: Env,
  labels: Readonly<Record<string, string | null>> = {},
  { base, perNode }: ConfigFile = configIn(settings, argv, env),
): Values {
  const values: Record<string, string | number | boolean> = {};
  const wrong: string[] = [];
  for (const setting of settings) {
    values[setting.key] = setting.default;
    const fromEnv = setting.env === undefined ? undefined : env[setting.env];
    if (fromEnv !== undefined && fromEnv !== "") values[setting.key] = fromEnv;
  }
  const fitting = perNode.filter(({ matchLabels }) =>
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value),
  );
  Object.assign(values, base, ...fitting.map((one) => one.values));
  for (const setting of settings) {
    const given = argv[setting.flag];
    if (Array.isArray(given))
      wrong.push(`--${setting.flag} is given more than once: ${given.map((one) => JSON.stringify(one)).join(", ")}`);
    else if (given !== undefined) values[setting.key] = given as string | number | boolean;
    const value = values[setting.key];
    if (setting.type === "number" && typeof value === "string" && /^-?\d+$/.test(value))
      values[setting.key] = Number(value);
  }
  for (const setting of settings) {
    const why = wrongWith(setting, values[setting.key]);
    if (why !== undefined) wrong.push(`${setting.key} (--${setting.flag}): ${why}`);
  }
  if (wrong.length > 0) throw new SettingsFault(wrong.join("\n"));
  return values;
}

/** The configuration file, which is empty where there is none. @throws SettingsFault */
export function configIn(settings: readonly Setting[], argv: Readonly<Record<string, unknown>>, env: Env): ConfigFile {
  const path = configOf(argv, env);
  return path === "" ? { base: {}, perNode: [] } : readConfigFile(settings, path);
}

/** Label keys that the file's entries for kinds of nodes speak of. @throws SettingsFault */
export function labelsSpokenOf(
  settings: readonly Setting[],
  argv: Readonly<Record<string, unknown>>,
  env: Env,
  { perNode }: ConfigFile = configIn(settings, argv, env),
): string[] {
  return [...new Set(perNode.flatMap((one) => Object.keys(one.matchLabels)))];
}

/** The table of the README: one row a setting, in the order of the code. */
export function flagTable(settings: readonly Setting[]): string {
  const listed = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(", ");
  const rows = settings.map((setting) => {
    const names = listed([setting.flag, ...(setting.aliases ?? [])].map((name) => `--${name}`));
    const keys = listed([setting.key, ...(setting.keyAliases ?? [])]);
    const choices = setting.choices === undefined ? "" : ` One of ${listed(setting.choices)}.`;
    const byDefault = shown(setting.default) === "" ? "" : `\`${shown(setting.default)}\``;
    return `| ${names} | ${keys} | ${byDefault} | ${described(setting, (env) => `\`$${env}\``)}.${choices} |`;
  });
  return ["| flag | key in the file | default | |", "|---|---|---|---|", ...rows].join("\n");
}

/** With what is taken where neither flag nor file says anything, first the environment. */
function described(setting: Setting, variable: (name: string) => string): string {
  const others = [
    ...(setting.env === undefined ? [] : [variable(setting.env)]),
    ...(setting.otherwise === undefined ? [] : [setting.otherwise]),
  ];
  return [setting.describe, ...others.map((one) => `else ${one}`)].join("; ");
}

function shown(value: string | number | boolean): string {
  return String(value);
}
