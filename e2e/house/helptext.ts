import { join } from "node:path";
import { pathToFileURL } from "node:url";

const ROOT = join(import.meta.dirname, "..", "..");

export interface Flag {
  /** As they are typed; the shortest first. */
  readonly names: readonly string[];
  readonly says: string;
  /** In yargs' words: type, choices, default. */
  readonly marks: readonly string[];
}

let runs = 0;

/** What a program prints for an argument line that ends it. It is run in this process, which loads what programs share once: there are some thirty commands. */
export async function printed(main: string, ...words: string[]): Promise<string> {
  const { argv, exit } = process;
  const { log } = console;
  const lines: string[] = [];
  try {
    const ended = new Promise<void>((resolve) => {
      process.exit = (() => resolve()) as unknown as typeof exit;
    });
    process.argv = [process.execPath, main, ...words];
    console.log = (...said: unknown[]) => void lines.push(said.join(" "));
    runs += 1;
    await import(`${pathToFileURL(join(ROOT, main)).href}?run=${runs}`);
    await ended;
  } finally {
    process.argv = argv;
    process.exit = exit;
    console.log = log;
  }
  return lines.join("\n");
}

/** The words of each command of a program's help, without its positional arguments. */
export async function commandsOf(main: string, name: string): Promise<string[]> {
  const [, list = ""] = /^Commands:\n((?: .*\n)*)/m.exec(await printed(main, "--help")) ?? [];
  return [...list.matchAll(new RegExp(`^  ${name} (\\S+)`, "gm"))].flatMap(([, command]) => command ?? []);
}

/** The flags that a command takes, and with `.strict()` it takes no others. */
export async function flagsOf(main: string, command: string): Promise<Flag[]> {
  const [, list = ""] = /^Options:\n((?: .*(?:\n|$))*)/m.exec(await printed(main, command, "--help")) ?? [];
  // A flag's lines after its first one begin further to the right.
  const entries = list.replaceAll(/\n +(?!-)(?=\S)/g, " ").split("\n");
  return entries.flatMap((entry) => {
    const [, names, says = "", marks = ""] =
      /^\s*((?:--?[\w-]+(?:, )?)+)\s+(.*?)\s*((?:\[(?:string|number|boolean|required|choices|default)[^\]]*\] *)*)$/.exec(
        entry,
      ) ?? [];
    if (names === undefined) return entry.trim() === "" ? [] : [{ names: [], says: entry, marks: [] }];
    return [
      {
        names: names.split(", "),
        says: says.replaceAll(/\s+/g, " "),
        marks: [...marks.replaceAll(/\s+/g, " ").matchAll(/\[([^\]]*)\]/g)].map(([, mark = ""]) => mark),
      },
    ];
  });
}
