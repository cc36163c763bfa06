/** Flags of commands that are no settings and take no value. Which of its flags take one, yargs knows only once it knows the command. */
const SWITCHES = ["help", "h", "fold", "force", "pre"];

interface Named {
  readonly flag: string;
  readonly aliases?: readonly string[];
  readonly type: string;
}

/**
 * The command line with its command in front of the flags that were typed before it, such as `--log-level debug doctor`: they mean the same there. One without
 * a command is as it was.
 */
export function commandFirst(words: readonly string[], settings: readonly Named[]): string[] {
  const switches = new Set(SWITCHES);
  for (const { flag, aliases = [], type } of settings)
    if (type === "boolean") for (const name of [flag, ...aliases]) switches.add(name);
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "--") break;
    if (!word.startsWith("-")) return [word, ...words.slice(0, at), ...words.slice(at + 1)];
    if (word.includes("=")) continue;
    const isSwitch = switches.has(word.replace(/^--?(no-)?/, ""));
    if (!isSwitch || /^(true|false)$/.test(words[at + 1] ?? "")) at += 1;
  }
  return [...words];
}
