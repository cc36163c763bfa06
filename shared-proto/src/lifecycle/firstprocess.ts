import { readFileSync } from "node:fs";

/**
 * Ends the first process of the container that this one runs in, in order, so that the kubelet starts the container again; the rest of the pod stays as it is.
 *
 * @param program its name, such as `dracpu`
 * @throws Error where the first process is no other one than that program.
 */
export function restartContainer(program: string): void {
  tell(program, "restart", "SIGTERM");
}

/** What a running program logs: `debug` is everything, `configured` what its settings say. */
export const LOG_LEVELS = ["debug", "configured"] as const;
export type RunningLogLevel = (typeof LOG_LEVELS)[number];

const SIGNALS = { debug: "SIGUSR2", configured: "SIGHUP" } as const satisfies Record<RunningLogLevel, NodeJS.Signals>;

/** As {@link restartContainer}: changes what the first process logs, while it runs. */
export function setLogLevel(program: string, level: RunningLogLevel): void {
  tell(program, "change what is logged by", SIGNALS[level]);
}

/** Listens for what {@link setLogLevel} sends. */
export function obeyLogLevel<Level extends string>(
  log: { level: Level | "debug"; info(message: string): void },
  configured: Level,
): void {
  const set = (level: Level | "debug") => (): void => {
    log.level = level;
    log.info(`logs from now on what is ${level} or worse`);
  };
  process.on(SIGNALS.debug, set("debug"));
  process.on(SIGNALS.configured, set(configured));
}

function tell(program: string, what: string, signal: NodeJS.Signals): void {
  const command = readFileSync("/proc/1/cmdline", "utf8").split("\0");
  if (process.pid === 1 || !command.some((part) => part.endsWith(`/${program}`) || part.endsWith(`/${program}.cjs`))) {
    throw new Error(
      `Cannot ${what} ${program}: the first process here is ${command.join(" ").trim()}; run this in its container, with kubectl exec`,
    );
  }
  process.kill(1, signal);
}
