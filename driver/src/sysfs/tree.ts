import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { SysfsTree } from "../topology/files.ts";

export { OverlayFault, SysfsOverlay } from "./overlay.ts";

/** A directory that holds a machine's `sys`, `/` being the machine itself: `/sys/x` is read from `<root>/x`, `/proc/x` from `<root>/../proc/x`. */
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
    return path.startsWith("/sys") ? join(this.#root, path.slice("/sys".length)) : join(dirname(this.#root), path);
  }
}
