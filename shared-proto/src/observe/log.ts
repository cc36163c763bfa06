import { constants, fstatSync, openSync } from "node:fs";
import { pino, stdTimeFunctions } from "pino";
import sonic from "sonic-boom";

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Lines that wait for a reader; what comes beyond that is dropped and counted. */
const MAX_WAITING_BYTES = 1 << 20;

export interface LogWriter extends Log {
  level: LogLevel;
  /** Waits until what was logged is written, at most `ms`. A reader that does not read cannot hold up an exit. */
  flush(ms: number): Promise<void>;
}

/**
 * JSON lines to a file descriptor. A log call never writes: lines wait in memory for an asynchronous writer, because a container's stdout is a
 * pipe whose reader may be down, and a synchronous write to a full pipe stops the event loop.
 */
export function createLog(options: { level: LogLevel; program: string; fd?: number }): LogWriter {
  // Not pino.destination: that one flushes synchronously at exit, and would wait for ever for a reader that does not read.
  const out = new sonic.SonicBoom({
    fd: withoutBlocking(options.fd ?? 1),
    sync: false,
    // 0 would make flush() return at once.
    minLength: 1,
    maxLength: MAX_WAITING_BYTES,
  });
  let dropped = 0;
  out.on("drop", () => {
    dropped += 1;
  });
  out.on("error", () => {
    dropped += 1;
  });
  const logger = pino(
    {
      level: options.level,
      base: { program: options.program },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    out,
  );
  const write =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (dropped > 0 && level !== "debug") {
        const lines = dropped;
        dropped = 0;
        logger.warn({ lines }, "log lines were dropped because nobody read them");
      }
      logger[level](fields, message);
    };
  return {
    debug: write("debug"),
    info: write("info"),
    warn: write("warn"),
    error: write("error"),
    get level() {
      return logger.level as LogLevel;
    },
    set level(level: LogLevel) {
      logger.level = level;
    },
    flush: (ms) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        out.flush(() => {
          clearTimeout(timer);
          resolve();
        });
      }),
  };
}

/**
 * A pipe is opened anew without blocking: a write to a full one would hold a thread of the pool for as long as nobody reads, and the process could not even
 * end. The original descriptor is shared with others, and stays as it is.
 */
function withoutBlocking(fd: number): number {
  try {
    return fstatSync(fd).isFIFO() ? openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK) : fd;
  } catch {
    return fd;
  }
}
