import { chmodSync, lstatSync, mkdirSync, renameSync, statSync, unlinkSync } from "node:fs";
import type { Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { checkSocketPath } from "./path.ts";

/**
 * Makes a directory that only its owner can enter, or checks that an existing one is ours.
 * @throws Error where it is a symbolic link, no directory, or belongs to somebody else.
 */
export function privateDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const found = lstatSync(path);
  if (!found.isDirectory()) throw new Error(`Cannot use ${path}: it is no directory; a directory of our own is wanted`);
  const me = process.getuid?.() ?? 0;
  if (found.uid !== me) {
    throw new Error(
      `Cannot use ${path}: it belongs to user ${found.uid}, and this process runs as ${me}; nobody else may own it`,
    );
  }
}

export interface Listening {
  readonly path: string;
  /** True while the file at the path is still this socket. */
  isOurs(): boolean;
  /** Removes the file, unless another process has put its own there. The server stays open. */
  unlink(): void;
}

/**
 * Listens under a hidden temporary name in the same directory and renames it into place. So a stale file is replaced in one step, nobody
 * connects before the mode is set, and the server's own close() unlinks the temporary name and never a successor's socket.
 */
export async function listenPrivate(server: Server, path: string, mode = 0o600): Promise<Listening> {
  checkSocketPath(path);
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid.toString(36)}`);
  checkSocketPath(temporary);
  remove(temporary);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(temporary, () => {
      server.removeListener("error", reject);
      resolve();
    });
  });
  chmodSync(temporary, mode);
  renameSync(temporary, path);
  const { ino, dev } = statSync(path);
  const isOurs = (): boolean => {
    try {
      const now = lstatSync(path);
      return now.ino === ino && now.dev === dev;
    } catch {
      return false;
    }
  };
  return {
    path,
    isOurs,
    unlink: () => {
      if (isOurs()) remove(path);
    },
  };
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
  }
}
