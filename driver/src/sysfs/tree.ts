import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { OnFault, SysfsTree } from "../topology/files.ts";

export { OverlayFault, SysfsOverlay } from "./overlay.ts";

/** A directory that holds a machine's `sys`, `/` being the machine itself: `/sys/x` is read from `<root>/x`, `/proc/x` from `<root>/../proc/x`. */
export class SysfsDirectory implements SysfsTree {
  readonly #root: string;

  /** @param root where the machine's sysfs is mounted or copied, such as `/sys`. */
  constructor(root: string) {
    this.#root = root;
  }

  read(path: string, onFault?: OnFault): string | undefined {
    return this.#unlessFault(() => readFileSync(this.whereIs(path), "utf8"), onFault);
  }

  list(path: string, onFault?: OnFault): readonly string[] {
    return this.#unlessFault(() => readdirSync(this.whereIs(path)).sort(), onFault) ?? [];
  }

  whereIs(path: string): string {
    return path.startsWith("/sys") ? join(this.#root, path.slice("/sys".length)) : join(dirname(this.#root), path);
  }

  #unlessFault<T>(reading: () => T, onFault: OnFault | undefined): T | undefined {
    try {
      return reading();
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      if (code !== "ENOENT" && code !== "ENOTDIR") onFault?.(code ?? message);
      return undefined;
    }
  }
}
