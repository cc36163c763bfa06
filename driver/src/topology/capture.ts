import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { CPUINFO, CPUINFO_LINE, push, type OnFault, type SysfsTree } from "./files.ts";

/** Passes a tree on and keeps what was read of it, so that a reader's own reading says which files count. */
export class Recording implements SysfsTree {
  /** Path to content, without the white space around it. */
  readonly files = new Map<string, string>();
  readonly #tree: SysfsTree;
  readonly #entries = new Set<string>();

  constructor(tree: SysfsTree) {
    this.#tree = tree;
  }

  read(path: string, onFault?: OnFault): string | undefined {
    const text = this.#tree.read(path, onFault);
    if (text !== undefined) this.files.set(path, path === CPUINFO ? essential(text) : text.trim());
    return text;
  }

  list(path: string, onFault?: OnFault): readonly string[] {
    const names = this.#tree.list(path, onFault);
    // NUMA nodes are told by their entries alone where they have no files, and CPUs by being in one.
    for (const name of names) if (/^node\d+$/.test(name)) this.#entries.add(`${path}/${name}`);
    return names;
  }

  whereIs(path: string): string {
    return this.#tree.whereIs(path);
  }

  /** Entries that hold none of the files. */
  bareEntries(): string[] {
    const parents = new Set([...this.files.keys()].map((path) => path.slice(0, path.lastIndexOf("/"))));
    return [...this.#entries].filter((path) => !parents.has(path));
  }
}

/**
 * The overlay that gives what a recording saw; files of CPUs (and of NUMA nodes) with the same content are one entry, with the ids in braces.
 *
 * @param about comment lines at its head, without the `#`.
 */
export function overlayText(recording: Recording, about: readonly string[]): string {
  const files = new Map(recording.files);
  for (const path of recording.bareEntries()) files.set(path, "");
  return [...about.map((line) => `# ${line}`.trimEnd()), ...foldedEntries(files), ""].join("\n");
}

/** Lines of an overlay, folded and sorted by what they are about: the machine, NUMA nodes, CPUs file by file. */
export function foldedEntries(files: ReadonlyMap<string, string>): string[] {
  const alone: string[] = [];
  const folded = new Map<string, Map<string, number[]>>();
  for (const [path, text] of files) {
    const m = /^(\/sys\/devices\/system\/(?:cpu\/cpu|node\/node))(\d{1,5})(\/.*)?$/.exec(path);
    if (m === null) alone.push(entry(path, text));
    else {
      const like = `${m[1] ?? ""}\0${m[3] ?? ""}`;
      const byText = folded.get(like) ?? new Map<string, number[]>();
      folded.set(like, byText);
      push(byText, text, Number(m[2]));
    }
  }
  const lines = alone.sort();
  for (const like of [...folded.keys()].sort()) {
    const [before = "", after = ""] = like.split("\0");
    for (const [text, ids] of folded.get(like) ?? []) {
      const list = CpuSet.from(ids).toString();
      lines.push(entry(`${before}${ids.length === 1 ? list : `{${list}}`}${after}`, text));
    }
  }
  return lines;
}

function entry(path: string, text: string): string {
  return `${JSON.stringify(path)}: ${JSON.stringify(text)}`;
}

function essential(text: string): string {
  return text
    .split("\n")
    .filter((line) => CPUINFO_LINE.test(line))
    .map((line) => line.replace(/\s*:\s*/, ": ").trim())
    .join("\n");
}
