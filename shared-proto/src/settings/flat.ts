const WORDS = new Set(["true", "false", "null"]);
const NAME = /^[A-Za-z]\w*$/;
const NUMBER = /^(?:0|-?[1-9]\d{0,14})$/;
/** In quotes and without escapes; or a path, address, word or list of CPUs. YAML knows more of them. */
const QUOTED = /^"[^"\\]*"$/;
const PLAIN = /^(?:[A-Za-z/][\w./-]*(?::[\w./-]+)*|:\d+|\d+(?:[-,]\d+)+|\d+(?:\.\d+){3}(?::\d+)?)$/;
const PRINTABLE = /^[ -~\n]*$/;

/**
 * Reads what helm makes of settings: one `key: value` a line, and comments. For most nodes that is all, and YAML's own reader costs each start some 10 ms and stays in memory.
 *
 * @returns `undefined` for everything else, faults among them: YAML's reader has the word on it.
 */
export function flatMapping(text: string): Record<string, string | number | boolean> | undefined {
  if (!PRINTABLE.test(text)) return undefined;
  const found: Record<string, string | number | boolean> = {};
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const at = line.indexOf(": ");
    const key = line.slice(0, at);
    const value = scalar(line.slice(at + 2));
    if (at < 0 || !isText(NAME, key) || value === undefined || Object.hasOwn(found, key)) return undefined;
    found[key] = value;
  }
  return found;
}

function scalar(text: string): string | number | boolean | undefined {
  if (text === "true" || text === "false") return text === "true";
  if (NUMBER.test(text)) return Number(text);
  if (QUOTED.test(text)) return text.slice(1, -1);
  return isText(PLAIN, text) ? text : undefined;
}

/** `Null` and `TRUE` are no texts either. */
function isText(form: RegExp, text: string): boolean {
  return form.test(text) && !WORDS.has(text.toLowerCase());
}
