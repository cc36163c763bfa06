import { createHash, randomBytes } from "node:crypto";
import { chmodSync, lstatSync, mkdirSync, readdirSync, renameSync, statSync, unlinkSync } from "node:fs";
import { connect, type Server } from "node:net";
import { basename, dirname, join } from "node:path";
import { checkSocketPath } from "./path.ts";

/** Bytes of a temporary name: a dot, three of the name's hash, the rest at random. No longer than the names that sockets have here, so that it takes nothing of their length. */
const TEMPORARY_BYTES = 8;
/** A younger one may be another process's, between two of its calls. */
const STALE_MS = 10_000;

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
 * connects before the mode is set, and the server's own close() unlinks the temporary name and never a successor's socket. The name is this call's alone: in two
 * containers processes have the same id. What an earlier crash left under such a name is removed.
 *
 * @param flag that the path comes from, where it is no path of its own.
 */
export async function listenPrivate(server: Server, path: string, mode = 0o600, flag = ""): Promise<Listening> {
  checkSocketPath(path, flag, TEMPORARY_BYTES - Buffer.byteLength(basename(path)));
  await removeStale(path);
  // The last digits: the first of a number below 2^32 hardly differ.
  const mark = randomBytes(4)
    .readUInt32BE()
    .toString(36)
    .padStart(7, "0")
    .slice(-(TEMPORARY_BYTES - markOf(path).length));
  const temporary = join(dirname(path), `${markOf(path)}${mark}`);
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

/** What the temporary names of a socket begin with. */
function markOf(path: string): string {
  return `.${createHash("sha256").update(basename(path)).digest("hex").slice(0, 3)}`;
}

async function removeStale(path: string): Promise<void> {
  const directory = dirname(path);
  const mark = markOf(path);
  // With a process's id, as it was at first.
  const earlier = `.${basename(path)}.`;
  const isOurs = (name: string): boolean =>
    name.startsWith(earlier) || (name.startsWith(mark) && Buffer.byteLength(name) === TEMPORARY_BYTES);
  for (const name of readdirSync(directory).filter(isOurs)) {
    const one = join(directory, name);
    const found = statSync(one, { throwIfNoEntry: false });
    if (found?.isSocket() === true && Date.now() - found.mtimeMs > STALE_MS && (await isDeaf(one))) remove(one);
  }
}

function isDeaf(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const end = (is: boolean) => () => {
      socket.destroy();
      resolve(is);
    };
    socket.on("connect", end(false));
    socket.on("error", (cause: NodeJS.ErrnoException) => end(cause.code === "ECONNREFUSED")());
  });
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
  }
}
