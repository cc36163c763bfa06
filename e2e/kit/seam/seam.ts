import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  readSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { cacheDir } from "../../build/cache.ts";

export const SOURCE = join(import.meta.dirname, "seam.c");
/** As seam.c has it. */
const SIZE = 1 << 20;
const HEAD = 1024;
const AT = {
  armed: 0,
  killAt: 4,
  after: 8,
  count: 12,
  used: 16,
  fails: 20,
  kinds: 24,
  prefix: 88,
  onlyName: 600,
  onlyTarget: 632,
} as const;
const ERRNO = { ENOSPC: 28, EROFS: 30, EIO: 5 } as const;

/** A call by which a program changed something outside of itself. */
export interface Call {
  /** `open` that creates or cuts, `write` on files and sockets, `fsync`, `rename`, `unlink`, `mkdir`, `rmdir`, `chmod`, `bind`, `listen`, `connect`, `shutdown` … */
  readonly name: string;
  /** A path, `peer:<path or port>` of a socket that was connected, `served:<path>` of one that was accepted. */
  readonly target: string;
}

/** Builds the library where the cache lacks it. @returns its path. */
export function library(): string {
  const hash = createHash("sha256").update(readFileSync(SOURCE)).update(process.arch).digest("hex").slice(0, 16);
  const path = join(cacheDir(), `seam-${hash}.so`);
  if (existsSync(path)) return path;
  mkdirSync(cacheDir(), { recursive: true });
  const temporary = `${path}.${process.pid}`;
  execFileSync("gcc", ["-shared", "-fPIC", "-O1", "-Wall", "-o", temporary, SOURCE, "-ldl"]);
  renameSync(temporary, path);
  return path;
}

/**
 * A library preloaded into a program under test, so that it can be killed before or after the n-th call that changes something, or be told that
 * a disk is full. The programs know nothing of it.
 */
export class Seam {
  readonly #path: string;
  readonly #fd: number;

  /** @param path of the file that is shared with the program. */
  constructor(path: string) {
    this.#path = path;
    writeFileSync(path, "");
    truncateSync(path, SIZE);
    this.#fd = openSync(path, "r+");
  }

  /** For the program's environment. @param skip calls on open files and sockets with this in their name are none of the test's business. */
  env(skip?: string): NodeJS.ProcessEnv {
    return {
      ...process.env,
      LD_PRELOAD: library(),
      DRACPU_SEAM: this.#path,
      ...(skip === undefined ? {} : { DRACPU_SEAM_SKIP: skip }),
    };
  }

  /**
   * Counts and notes calls from now on, from 1; kills the program at one of them.
   *
   * @param only counts calls of this name alone, whose target contains this.
   */
  arm(kill?: { readonly at: number; readonly after: boolean }, only?: Call): void {
    this.#put(AT.armed, 0);
    this.#put(AT.count, 0);
    this.#put(AT.used, 0);
    this.#put(AT.killAt, kill?.at ?? 0);
    this.#put(AT.after, kill?.after === true ? 1 : 0);
    this.#text(AT.onlyName, only?.name ?? "");
    this.#text(AT.onlyTarget, only?.target ?? "");
    this.#put(AT.armed, 1);
  }

  disarm(): void {
    this.#put(AT.armed, 0);
    this.#put(AT.killAt, 0);
  }

  /** Calls since it was armed; also those of a program that is dead. */
  calls(): Call[] {
    const notes = Buffer.alloc(Math.min(this.#get(AT.used), SIZE - HEAD));
    readSync(this.#fd, notes, 0, notes.length, HEAD);
    return notes
      .toString("utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => ({ name: line.slice(0, line.indexOf(" ")), target: line.slice(line.indexOf(" ") + 1) }));
  }

  /** Lets calls of these names fail on paths that begin so, until {@link heal}. */
  fail(errno: keyof typeof ERRNO, names: readonly string[], prefix: string): void {
    this.#put(AT.fails, 0);
    this.#text(AT.kinds, ` ${names.join(" ")} `);
    this.#text(AT.prefix, prefix);
    this.#put(AT.fails, ERRNO[errno]);
  }

  heal(): void {
    this.#put(AT.fails, 0);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #text(at: number, text: string): void {
    writeSync(this.#fd, Buffer.from(`${text}\0`), 0, undefined, at);
  }

  #put(at: number, value: number): void {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    writeSync(this.#fd, bytes, 0, 4, at);
  }

  #get(at: number): number {
    const bytes = Buffer.alloc(4);
    readSync(this.#fd, bytes, 0, 4, at);
    return bytes.readUInt32LE();
  }
}
