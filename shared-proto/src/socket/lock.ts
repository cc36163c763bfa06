import { statSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { pause } from "../lifecycle/wait.ts";
import { listenPrivate, privateDirectory } from "./listen.ts";
import { checkSocketPath } from "./path.ts";

const FIRST_WAIT_MS = 100;
const MAX_WAIT_MS = 2000;
const ASK_TIMEOUT_MS = 1000;

/** The lock's socket in its directory. Whoever removes it while somebody listens lets a second instance in. */
export const LOCK = "lock.sock";

/**
 * One instance at a time: whoever listens on `<directory>/lock.sock` holds the lock, and says on it who it is. The kernel frees it
 * with the holder, however it dies. A second instance waits, and `onWait` hears of whom (once per change).
 *
 * @param meanwhile done while it is made sure that nobody else took the lock at the same moment, and while another one holds it; maybe several times.
 * @returns a function that gives the lock back, or `undefined` where `signal` ended the wait.
 */
export async function holdLock(
  directory: string,
  me: string,
  onWait: (holder: string) => void,
  signal: AbortSignal,
  meanwhile: () => Promise<unknown> = () => Promise.resolve(),
): Promise<(() => void) | undefined> {
  const path = join(directory, LOCK);
  // Nobody can be asked on a longer one: whoever waits for it waits for ever.
  checkSocketPath(path, "--state-dir");
  privateDirectory(directory);
  let said = "";
  for (let waitMs = FIRST_WAIT_MS; !signal.aborted; waitMs = Math.min(waitMs * 2, MAX_WAIT_MS)) {
    const holder = await askHolder(path);
    if (holder === undefined) {
      const server = createServer((socket) => {
        // Who asks may be gone before it has heard the answer.
        socket.on("error", () => socket.destroy());
        socket.end(`${me}\n`);
      });
      const listening = await listenPrivate(server, path, 0o600, "--state-dir");
      // Two may have found it free at once: the rename of the later one won, and the other sees that the file is not its own.
      await Promise.all([pause(50, signal), meanwhile()]);
      if (listening.isOurs()) return () => release(server, listening);
      server.close();
      continue;
    }
    if (holder !== said) onWait(holder);
    said = holder;
    await Promise.all([pause(waitMs, signal), meanwhile()]);
  }
  return undefined;
}

function release(server: Server, listening: { unlink(): void }): void {
  listening.unlink();
  server.close();
}

/** `undefined` where nobody listens. A holder that does not answer still holds. */
function askHolder(path: string): Promise<string | undefined> {
  // The common start finds nothing, and needs no connection. What cannot be looked at is asked.
  try {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) return Promise.resolve(undefined);
  } catch {
    // Answered below.
  }
  return new Promise((resolve) => {
    const socket = connect({ path });
    let text = "";
    socket.setTimeout(ASK_TIMEOUT_MS, () => {
      // After a stall the timer is due before an answer that has long arrived is read.
      setImmediate(() => {
        socket.destroy();
        resolve("a process that does not answer");
      });
    });
    socket.on("data", (chunk: Buffer) => {
      text = (text + chunk.toString("utf8")).slice(0, 200);
    });
    socket.on("end", () => resolve(text.trim() === "" ? "a process that does not say who it is" : text.trim()));
    socket.on("error", (cause: NodeJS.ErrnoException) => {
      socket.destroy();
      const isNobody = cause.code === "ECONNREFUSED" || cause.code === "ENOENT";
      resolve(isNobody ? undefined : "a process that does not answer");
    });
  });
}
