import { commandFirst } from "@dracpu/shared-proto/settings/commandfirst.ts";
import { SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { DRIVER_SETTINGS } from "../config/settings.ts";

/** What the reference driver (kubernetes-sigs/dra-driver-cpu v0.2.0) has on its command line and this one has not, with what to use in its place. */
export const REFUSED: Readonly<Record<string, string>> = {
  "--vmodule": "no levels by source file here; use --log-level debug",
  gatherinfo: "use dracpu gather, or dracpu topology -o json",
  introspect: "the metrics are listed in docs/metrics.md",
};

/** What it decides (0 and 2) is told at `info` here, and 4 is what its chart sets; from 6 on it traces, as `debug` does. */
const TRACES = 6;

/**
 * The reference driver's command line as this one's, any other with its command first. Of the reference's are no command but its program's path, which has no other place
 * where an image has no entry point; Go's flags with one dash; and klog's `-v`.
 *
 * @throws SettingsFault where there is nothing like it here.
 */
export function fromReference(argv: readonly string[]): string[] {
  const isPath = /^\/dracpu(-gatherinfo)?$/.exec(argv[0] ?? "");
  const given = isPath === null ? argv : [...(isPath[1] === undefined ? [] : ["gatherinfo"]), ...argv.slice(1)];
  if (OF_NO_COMMAND.test(given[0] ?? "")) return [...given];
  const words = commandFirst(given, DRIVER_SETTINGS);
  const [first] = words;
  if (first !== undefined && !first.startsWith("-")) {
    refuse(first);
    if (first !== "run") return words;
    words.shift();
  } else if (first === undefined && isPath === null) return words;
  return ["run", ...flagsOf(words)];
}

/** Help, and what a shell asks for completions. */
const OF_NO_COMMAND = /^(-h|--?help|--get-yargs-completions)$/;

const BOOLEANS = new Set(DRIVER_SETTINGS.filter(({ type }) => type === "boolean").map(({ flag }) => flag));

function flagsOf(words: readonly string[]): string[] {
  const flags: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    const [, name, value] = /^--?([a-z][a-z-]*)(=.*)?$/s.exec(word) ?? [];
    if (name === undefined) {
      flags.push(word);
      continue;
    }
    refuse(`--${name}`);
    if (name === "v") flags.push(`--log-level=${levelOf(value?.slice(1) ?? words[++at] ?? "")}`);
    else flags.push(name.length === 1 ? word : `--${name}${BOOLEANS.has(name) ? truthOf(name, value) : (value ?? "")}`);
  }
  return flags;
}

/** As Go's flags spell them (strconv.ParseBool). */
function truthOf(name: string, value = ""): string {
  if (value === "") return "";
  if (/^=(1|t|true|T|TRUE|True)$/.test(value)) return "=true";
  if (/^=(0|f|false|F|FALSE|False)$/.test(value)) return "=false";
  throw new SettingsFault(`--${name}: ${JSON.stringify(value.slice(1))} is neither true nor false`);
}

function levelOf(verbosity: string): string {
  if (!/^\d+$/.test(verbosity)) throw new SettingsFault(`--v: ${JSON.stringify(verbosity)} is no whole number`);
  return Number(verbosity) < TRACES ? "info" : "debug";
}

function refuse(word: string): void {
  const instead = Object.hasOwn(REFUSED, word) ? REFUSED[word] : undefined;
  if (instead !== undefined) throw new SettingsFault(`${word} is the reference driver's: ${instead}.`);
}
