import { readFileSync } from "node:fs";
import { closest, distance } from "fastest-levenshtein";
import { LineCounter, parseDocument } from "yaml";
import { flatMapping } from "./flat.ts";
import type { Labels, Setting, Values } from "./settings.ts";
import { wrongWith } from "./value.ts";

/** A configuration that cannot be used; the text holds every offender, one a line. */
export class SettingsFault extends Error {
  override readonly name = "SettingsFault";
}

/** An entry `perNode`: for nodes that carry all the labels, laid over the rest of the file, the later entry over the earlier. */
export interface ForSomeNodes {
  readonly matchLabels: Labels;
  readonly values: Values;
}

export interface ConfigFile {
  readonly base: Values;
  readonly perNode: readonly ForSomeNodes[];
}

const PER_NODE = "perNode";
/** May stand in a file, as in the reference driver's, and is the one there is. */
const API_VERSION = "v1alpha1";

/** Unknown, misspelt, doubled and mistyped keys are errors, also in entries that do not fit this node. @throws SettingsFault */
export function readConfigFile(settings: readonly Setting[], path: string): ConfigFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new SettingsFault(`Cannot read the configuration file ${path}: ${(cause as Error).message}`, { cause });
  }
  const content = flatMapping(text) ?? parsed(text, path);
  if (content === null || content === undefined) return { base: {}, perNode: [] };
  if (!isMapping(content)) {
    throw new SettingsFault(`Cannot use the configuration file ${path}: it is no mapping of settings to values`);
  }
  const wrong: string[] = [];
  const forNodes = settings.filter((one) => one.perNode === true);
  const { apiVersion = API_VERSION, ...keys } = content;
  if (apiVersion !== API_VERSION)
    wrong.push(
      `${path}: apiVersion ${JSON.stringify(apiVersion)} is not known here; wanted is ${API_VERSION}, or none`,
    );
  const { [PER_NODE]: entries, ...rest } = keys;
  const base = valuesIn(forNodes.length === 0 ? keys : rest, settings, path, wrong);
  const perNode = forNodes.length === 0 ? [] : entriesIn(entries, forNodes, path, wrong);
  if (wrong.length > 0) throw new SettingsFault(wrong.join("\n"));
  return { base, perNode };
}

function parsed(text: string, path: string): unknown {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const first = document.errors[0];
  if (first !== undefined) throw new SettingsFault(`Cannot use the configuration file ${path}: ${first.message}`);
  return document.toJS();
}

function entriesIn(entries: unknown, settings: readonly Setting[], path: string, wrong: string[]): ForSomeNodes[] {
  if (entries === undefined || entries === null) return [];
  if (!Array.isArray(entries)) {
    wrong.push(`${path}: ${PER_NODE} has to be a list of entries with matchLabels and settings`);
    return [];
  }
  return entries.flatMap((entry: unknown, n) => {
    const at = `${path}: ${PER_NODE}[${n}]`;
    const { matchLabels, settings: given, ...other } = isMapping(entry) ? entry : {};
    const labels = isMapping(matchLabels) ? Object.entries(matchLabels) : [];
    if (labels.length === 0 || labels.some(([, value]) => typeof value !== "string") || !isMapping(given)) {
      wrong.push(`${at} has to have matchLabels, a mapping of label keys to texts, and settings`);
      return [];
    }
    if (Object.keys(other).length > 0) wrong.push(`${at}: unknown key ${JSON.stringify(Object.keys(other)[0])}`);
    const values = valuesIn(given, settings, at, wrong);
    // The entry of a label that no node carries yet may be wrong, too.
    for (const setting of settings) {
      const value = values[setting.key];
      const why = value === undefined ? undefined : wrongWith(setting, value);
      if (why !== undefined) wrong.push(`${at}: ${setting.key}: ${why}`);
    }
    return [{ matchLabels: matchLabels as Labels, values }];
  });
}

function valuesIn(
  content: Readonly<Record<string, unknown>>,
  settings: readonly Setting[],
  at: string,
  wrong: string[],
): Values {
  const found: Record<string, string | number | boolean> = {};
  const keys = settings.map((setting) => setting.key);
  for (const [key, value] of Object.entries(content)) {
    const setting = settings.find((one) => one.key === key || one.keyAliases?.includes(key) === true);
    if (setting === undefined) {
      const near = closest(key, keys);
      const hint =
        distance(key.toLowerCase(), near.toLowerCase()) <= 4
          ? `; did you mean ${near}?`
          : `; known are ${keys.join(", ")}`;
      wrong.push(`${at}: unknown setting ${JSON.stringify(key)}${hint}`);
    } else if (value === null) continue;
    else if (setting.key in found) wrong.push(`${at}: ${setting.key} is given twice, by two of its names`);
    else if (typeof value !== setting.type) {
      const quote = setting.type === "string" && typeof value === "number" ? `; write it in quotes: "${value}"` : "";
      wrong.push(`${at}: ${key} has to be a ${setting.type}, and is ${JSON.stringify(value)}${quote}`);
    } else found[setting.key] = value as string | number | boolean;
  }
  return found;
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
