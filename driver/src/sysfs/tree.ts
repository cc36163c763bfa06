import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";
import type { SysfsTree } from "../topology/read.ts";

/** A directory that holds a machine's `sys`, `/` being the machine itself: `/sys/x` is read from `<root>/x`. */
export class SysfsDirectory implements SysfsTree {
  readonly #root: string;

  /** @param root where the machine's sysfs is mounted or copied, such as `/sys`. */
  constructor(root: string) {
    this.#root = root;
  }

  read(path: string): string | undefined {
    try {
      return readFileSync(this.#at(path), "utf8");
    } catch {
      return undefined;
    }
  }

  list(path: string): readonly string[] {
    try {
      return readdirSync(this.#at(path)).sort();
    } catch {
      return [];
    }
  }

  #at(path: string): string {
    return join(this.#root, path.slice("/sys".length));
  }
}

/** A text overlay that cannot be used; the text names the entry. */
export class OverlayFault extends Error {
  override readonly name = "OverlayFault";
}

const NODE_OF_CPU = /^(\/sys\/devices\/system\/cpu\/cpu\d+)\/node\d+$/;

/**
 * A text overlay over another tree: a YAML mapping of absolute paths below `/sys/` to file contents. Its files win, listings merge.
 * An overlay without a base is a whole machine in one file.
 */
export class SysfsOverlay implements SysfsTree {
  readonly #files: ReadonlyMap<string, string>;
  readonly #directories = new Map<string, Set<string>>();
  readonly #base: SysfsTree | undefined;

  private constructor(files: ReadonlyMap<string, string>, base: SysfsTree | undefined) {
    this.#files = files;
    this.#base = base;
    for (const path of files.keys()) {
      const parts = path.split("/");
      for (let n = parts.length - 1; n > 1; n--) {
        const parent = parts.slice(0, n).join("/");
        this.#directories.set(parent, (this.#directories.get(parent) ?? new Set()).add(parts[n] ?? ""));
      }
    }
  }

  /** @throws OverlayFault */
  static parse(text: string, base: SysfsTree | undefined): SysfsOverlay {
    const document = parseDocument(text, { uniqueKeys: true });
    if (document.errors[0] !== undefined)
      throw new OverlayFault(`Cannot read the sysfs overlay: ${document.errors[0].message}`);
    const content: unknown = document.toJS() ?? {};
    if (typeof content !== "object" || content === null || Array.isArray(content)) {
      throw new OverlayFault("Cannot use the sysfs overlay: it is no mapping of paths to contents");
    }
    const files = new Map<string, string>();
    for (const [path, value] of Object.entries(content as Record<string, unknown>)) {
      const why = whyNot(path, value);
      if (why !== undefined)
        throw new OverlayFault(`Cannot use the sysfs overlay entry ${JSON.stringify(path)}: ${why}`);
      files.set(path, value as string);
    }
    checkTree(files);
    return new SysfsOverlay(files, base);
  }

  read(path: string): string | undefined {
    const own = this.#files.get(path);
    if (own !== undefined) return own;
    return this.#directories.has(path) ? undefined : this.#base?.read(path);
  }

  list(path: string): readonly string[] {
    const own = this.#directories.get(path);
    let base = this.#files.has(path) ? [] : (this.#base?.list(path) ?? []);
    // An overlay that says where a CPU is says it alone.
    if (own !== undefined && [...own].some((name) => NODE_OF_CPU.test(`${path}/${name}`))) {
      base = base.filter((name) => !/^node\d+$/.test(name));
    }
    return [...new Set([...base, ...(own ?? [])])].sort();
  }
}

function whyNot(path: string, value: unknown): string | undefined {
  if (!path.startsWith("/sys/") || path === "/sys/") return "it is not below /sys/";
  if (
    path
      .split("/")
      .slice(1)
      .some((part) => part === "" || part === "." || part === "..")
  )
    return "the path is not clean";
  if (typeof value !== "string") return "its value is no text; put it in quotes";
  return undefined;
}

function checkTree(files: ReadonlyMap<string, string>): void {
  const nodes = new Map<string, string>();
  for (const path of files.keys()) {
    const parts = path.split("/");
    for (let n = parts.length - 1; n > 2; n--) {
      const parent = parts.slice(0, n).join("/");
      if (files.has(parent))
        throw new OverlayFault(`Cannot use the sysfs overlay: ${parent} is a file, and has ${path} below it`);
    }
    const cpu = NODE_OF_CPU.exec(path)?.[1];
    if (cpu === undefined) continue;
    if (nodes.has(cpu))
      throw new OverlayFault(`Cannot use the sysfs overlay: ${cpu} is in ${nodes.get(cpu) ?? ""} and in ${path}`);
    nodes.set(cpu, path);
  }
}
