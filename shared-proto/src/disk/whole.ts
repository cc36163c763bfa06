import { existsSync } from "node:fs";
import { open, rename, rm, stat, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * - `full`: ENOSPC, EDQUOT
 * - `read-only`: EROFS
 * - `denied`: EACCES, EPERM
 * - `missing`: ENOENT
 * - `io`: anything else; the disk may be failing
 */
export type DiskCode = "full" | "read-only" | "denied" | "missing" | "io";

export class DiskFault extends Error {
  override readonly name = "DiskFault";
  readonly code: DiskCode;
  readonly path: string;
  constructor(code: DiskCode, path: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.path = path;
  }
}

const CODES: Readonly<Record<string, readonly [DiskCode, string]>> = {
  ENOSPC: ["full", "the disk is full; free space on it"],
  EDQUOT: ["full", "the disk quota is used up"],
  EROFS: ["read-only", "the file system is read-only; remount it"],
  EACCES: ["denied", "permission denied"],
  EPERM: ["denied", "not permitted"],
  ENOENT: ["missing", "no such file or directory"],
  ENOTDIR: ["io", "a part of the path is no directory"],
  EEXIST: ["io", "there is something else of this name"],
  EIO: ["io", "input/output error; the disk may be failing"],
};

export function diskFault(what: string, path: string, cause: unknown): DiskFault {
  const errno = (cause as NodeJS.ErrnoException | undefined)?.code ?? "";
  const [code, why] = CODES[errno] ?? ["io" as const, errno === "" ? String(cause) : errno];
  return new DiskFault(code, path, `Cannot ${what} ${path}: ${why}`, { cause });
}

const underWay = new Set<string>();

/** Where a file's next content is written first: hidden, and of no name that a reader of `*.json` picks up. */
export function temporaryOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.tmp`);
}

/**
 * Writes a file whole or not at all: a temporary file in the same directory, fsync, rename, fsync of the directory. When it resolves, the
 * content survives a power cut; when it rejects, the old file is as it was, or the new one is there and may not survive. What a killed
 * process left under the temporary name is written over. The caller lets one write of a file end before the next.
 *
 * @param keeping `whole`: without the fsyncs; a power cut may take it.
 * @throws DiskFault
 */
export async function writeWhole(
  path: string,
  content: string | Uint8Array,
  mode = 0o600,
  keeping: "durable" | "whole" = "durable",
): Promise<void> {
  const temporary = temporaryOf(path);
  if (underWay.has(temporary)) throw new Error(`two writes of ${path} at once`);
  underWay.add(temporary);
  try {
    const file = await open(temporary, "w", mode);
    try {
      await file.writeFile(content);
      if (keeping === "durable") await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    if (keeping === "durable") await syncDirectory(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {
      // The first fault is the one to tell.
    });
    throw diskFault("write", path, cause);
  } finally {
    underWay.delete(temporary);
  }
}

/** Removes a file durably, and what a killed process left of its next content; one that is not there is success. @throws DiskFault */
export async function removeWhole(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
    await rm(temporaryOf(path), { force: true });
    await syncDirectory(dirname(path));
  } catch (cause) {
    throw diskFault("remove", path, cause);
  }
}

async function syncDirectory(path: string): Promise<void> {
  let directory: FileHandle | undefined;
  try {
    directory = await open(path, "r");
    await directory.sync();
  } finally {
    await directory?.close();
  }
}

/** @returns `undefined` where there is no such file. @throws DiskFault; also (`io`) where it is longer than `maxBytes`. */
export async function readBounded(path: string, maxBytes: number): Promise<string | undefined> {
  try {
    const { size } = await stat(path);
    if (size > maxBytes) throw new Error(`it has ${size} bytes, at most ${maxBytes} are read`);
    const file = await open(path, "r");
    try {
      return await file.readFile("utf8");
    } finally {
      await file.close();
    }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    if ((cause as NodeJS.ErrnoException).code === undefined) {
      throw new DiskFault("io", path, `Cannot read ${path}: ${(cause as Error).message}`, { cause });
    }
    throw diskFault("read", path, cause);
  }
}

/** Renames a damaged file so that nothing of it is lost. @returns its new name. */
export async function keepAside(path: string): Promise<string> {
  let n = 1;
  while (existsSync(`${path}.damaged-${n}`)) n += 1;
  const aside = `${path}.damaged-${n}`;
  try {
    await rename(path, aside);
    return aside;
  } catch (cause) {
    throw diskFault("set aside", path, cause);
  }
}
