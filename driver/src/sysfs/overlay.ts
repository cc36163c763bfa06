import { CpuListError, CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { parseDocument } from "yaml";
import { CPU, CPUINFO, type OnFault, type SysfsTree } from "../topology/files.ts";

/** A text overlay that cannot be used; the text names the entry. */
export class OverlayFault extends Error {
  override readonly name = "OverlayFault";
}

const CPU_DIRECTORY = /^\/sys\/devices\/system\/cpu\/cpu\d+$/;
const NODE = /^node\d+$/;
/** `cpu{0-3,8}`: the entry stands for one file of each id. */
const FOLDED = /^[^{}]*\{[^{}/]*\}[^{}]*$/;
/** What {@link overlayText} writes; anything else takes the YAML parser's way, which is 50 times slower. */
const PLAIN_LINE = /^("\/[^"\\]*"): ("(?:[^"\\]|\\["\\/bfnrt])*")$/;

/**
 * A text overlay over another tree: a YAML mapping of absolute paths below `/sys/` (and `/proc/cpuinfo`) to file contents. Its files win, listings merge.
 * A kernel list in braces folds entries that are alike: `"/sys/devices/system/cpu/cpu{0-3,8}/topology/physical_package_id": "0"`.
 * An overlay without a base is a whole machine in one file.
 */
export class SysfsOverlay implements SysfsTree {
  readonly #root: Directory;
  readonly #base: SysfsTree | undefined;

  private constructor(root: Directory, base: SysfsTree | undefined) {
    this.#root = root;
    this.#base = base;
  }

  /** @throws OverlayFault */
  static parse(text: string, base: SysfsTree | undefined): SysfsOverlay {
    const root: Directory = new Map();
    for (const [path, value] of entriesOf(text)) {
      const why = whyNot(path, value);
      if (why !== undefined)
        throw new OverlayFault(`Cannot use the sysfs overlay entry ${JSON.stringify(path)}: ${why}`);
      insert(root, path, value as string);
    }
    checkNodes(root);
    return new SysfsOverlay(root, base);
  }

  read(path: string, onFault?: OnFault): string | undefined {
    const own = find(this.#root, path);
    return typeof own === "string" ? own : own === undefined ? this.#base?.read(path, onFault) : undefined;
  }

  list(path: string, onFault?: OnFault): readonly string[] {
    const own = find(this.#root, path);
    const names = own instanceof Map ? [...own.keys()] : [];
    if (this.#base === undefined) return names.sort();
    let base = typeof own === "string" ? [] : this.#base.list(path, onFault);
    // An overlay that says where a CPU is says it alone.
    if (CPU_DIRECTORY.test(path) && names.some((name) => NODE.test(name)))
      base = base.filter((name) => !NODE.test(name));
    return [...new Set([...base, ...names])].sort();
  }

  whereIs(path: string): string {
    return find(this.#root, path) === undefined ? (this.#base?.whereIs(path) ?? path) : path;
  }
}

/** Files are texts. One map a directory: a machine of 1,536 CPUs has 40,000 files, and whole paths as keys would cost a second copy of each. */
type Directory = Map<string, Directory | string>;

function find(root: Directory, path: string): Directory | string | undefined {
  let at: Directory | string | undefined = root;
  for (let start = 1; start <= path.length;) {
    if (!(at instanceof Map)) return undefined;
    const slash = path.indexOf("/", start);
    const end = slash < 0 ? path.length : slash;
    at = at.get(path.slice(start, end));
    start = end + 1;
  }
  return at;
}

function insert(root: Directory, path: string, text: string): void {
  const parts = path.split("/").slice(1);
  const fold = parts.findIndex((part) => part.includes("{"));
  if (fold < 0) return insertAt(root, parts, 0, text, path);
  const m = /^(.*)\{(.*)\}(.*)$/.exec(parts[fold] ?? "");
  let ids: CpuSet;
  try {
    ids = CpuSet.parse(m?.[2] ?? "");
  } catch (cause) {
    if (!(cause instanceof CpuListError)) throw cause;
    throw new OverlayFault(`Cannot use the sysfs overlay entry ${JSON.stringify(path)}: ${cause.message}`, { cause });
  }
  const above = directory(root, parts.slice(0, fold), path);
  const below = parts.slice(fold);
  for (const id of ids) {
    below[0] = `${m?.[1] ?? ""}${id}${m?.[3] ?? ""}`;
    insertAt(above, below, 0, text, path);
  }
}

function insertAt(from: Directory, parts: readonly string[], first: number, text: string, path: string): void {
  const last = parts.length - 1;
  const parent = last === first ? from : directory(from, parts.slice(first, last), path);
  const name = parts[last] ?? "";
  const there = parent.get(name);
  if (there !== undefined)
    throw new OverlayFault(
      typeof there === "string"
        ? `Cannot use the sysfs overlay: two entries are ${path}`
        : `Cannot use the sysfs overlay: ${path} is a file, and has others below it`,
    );
  parent.set(name, text);
}

function directory(from: Directory, parts: readonly string[], path: string): Directory {
  let at = from;
  for (const part of parts) {
    let next = at.get(part);
    if (typeof next === "string")
      throw new OverlayFault(`Cannot use the sysfs overlay: ${part} is a file, and has ${path} below it`);
    if (next === undefined) at.set(part, (next = new Map()));
    at = next;
  }
  return at;
}

/** A CPU is in one NUMA node. */
function checkNodes(root: Directory): void {
  const cpus = find(root, CPU);
  if (!(cpus instanceof Map)) return;
  for (const [name, cpu] of cpus) {
    if (!(cpu instanceof Map)) continue;
    const nodes = [...cpu.keys()].filter((entry) => NODE.test(entry));
    if (nodes.length > 1)
      throw new OverlayFault(`Cannot use the sysfs overlay: ${CPU}/${name} is in ${nodes.join(" and in ")}`);
  }
}

function entriesOf(text: string): Iterable<readonly [string, unknown]> {
  return plainEntries(text) ?? yamlEntries(text);
}

function plainEntries(text: string): [string, string][] | undefined {
  const found: [string, string][] = [];
  for (const line of text.split("\n")) {
    if (line === "" || line.startsWith("#")) continue;
    const m = PLAIN_LINE.exec(line);
    if (m === null) return undefined;
    found.push([JSON.parse(m[1] ?? "") as string, JSON.parse(m[2] ?? "") as string]);
  }
  return found;
}

function yamlEntries(text: string): [string, unknown][] {
  const document = parseDocument(text, { uniqueKeys: true });
  if (document.errors[0] !== undefined)
    throw new OverlayFault(`Cannot read the sysfs overlay: ${document.errors[0].message}`);
  const content: unknown = document.toJS() ?? {};
  if (typeof content !== "object" || content === null || Array.isArray(content)) {
    throw new OverlayFault("Cannot use the sysfs overlay: it is no mapping of paths to contents");
  }
  return Object.entries(content as Record<string, unknown>);
}

function whyNot(path: string, value: unknown): string | undefined {
  if (path !== CPUINFO && (!path.startsWith("/sys/") || path === "/sys/"))
    return `it is not below /sys/, nor ${CPUINFO}`;
  if (/\/(?:\.{0,2})(?:\/|$)/.test(path)) return "the path is not clean";
  if (/[{}]/.test(path) && !FOLDED.test(path)) return "it may have one list in braces";
  if (typeof value !== "string") return "its value is no text; put it in quotes";
  return undefined;
}
