import { spawn, type ChildProcess } from "node:child_process";
import { openSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";

/** A daemon whose output goes to a file. */
export interface Daemon {
  readonly name: string;
  readonly pid: number;
  readonly log: string;
  readonly exited: Promise<number | null>;
  isAlive(): boolean;
  signal(name: NodeJS.Signals): void;
  /** TERM, and KILL after `ms`. */
  stop(ms?: number): Promise<void>;
}

export function startDaemon(
  name: string,
  argv: readonly string[],
  options: { logDir: string; env?: NodeJS.ProcessEnv; cwd?: string },
): Daemon {
  const log = join(options.logDir, `${name}.log`);
  const out = openSync(log, "a");
  const [program = "", ...args] = argv;
  const child: ChildProcess = spawn(program, args, {
    stdio: ["ignore", out, out],
    env: options.env ?? process.env,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const exited = new Promise<number | null>((resolve) => {
    child.on("exit", (code) => resolve(code));
    child.on("error", () => resolve(null));
  });
  let alive = true;
  void exited.then(() => {
    alive = false;
  });
  const pid = child.pid ?? 0;
  return {
    name,
    pid,
    log,
    exited,
    isAlive: () => alive && pid > 0,
    signal: (signal) => {
      if (alive && pid > 0) process.kill(pid, signal);
    },
    stop: async (ms = 5000) => {
      if (!alive || pid === 0) return;
      process.kill(pid, "SIGTERM");
      // A stopped process takes its TERM only when it goes on.
      process.kill(pid, "SIGCONT");
      const timer = setTimeout(() => {
        if (alive) process.kill(pid, "SIGKILL");
      }, ms);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** On a machine that is slower than others by so much, such as an emulated one. */
const PATIENCE = Number(process.env["DRACPU_PATIENCE"] ?? "1");

/** Looks every `every` ms until `look` gives something; fails with `what` after `atMost` ms. */
export async function until<T>(
  what: string,
  look: () => T | undefined | false | Promise<T | undefined | false>,
  atMost = 30_000,
  every = 50,
): Promise<T> {
  const ms = atMost * PATIENCE;
  const end = Date.now() + ms;
  let last = "";
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
    } catch (cause) {
      last = (cause as Error).message;
    }
    if (Date.now() > end)
      throw new Error(`waited ${ms / 1000} s in vain: ${what}${last === "" ? "" : `; last: ${last.slice(0, 500)}`}`);
    await new Promise((resolve) => setTimeout(resolve, every));
  }
}

/** Whether somebody does at this Unix socket. */
export function listens(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(socket, () => {
      connection.destroy();
      resolve(true);
    });
    connection.on("error", () => resolve(false));
  });
}

/** KILL to a process that may be gone already. */
export function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}
