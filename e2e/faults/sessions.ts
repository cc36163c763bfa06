import type { Span } from "./judge.ts";
import { now } from "./observer.ts";

/** The wall clock of log lines to the clock of recordings. */
const OFFSET = Date.now() - now();

/**
 * When the runtime had no plugin, by the runtime's own log: from each end of a session to the next Synchronize, its wait included.
 *
 * @param lost times at which agent or runtime were killed, which the log tells later or not at all.
 * @param still spans in which the agent was stopped, whatever the runtime thought.
 */
export function awayBy(log: string, lost: readonly number[], still: readonly Span[] = []): Span[] {
  const events: { t: number; up: boolean }[] = lost.map((t) => ({ t, up: false }));
  for (const line of log.split("\n")) {
    const up = line.includes('plugin \\"10-dra.cpu\\" connected and synchronized');
    if (!up && !line.includes('connection to plugin \\"10-dra.cpu\\" closed')) continue;
    const time = /time="([^"]+)"/.exec(line)?.[1] ?? "";
    const fraction = Number(/\.(\d+)/.exec(time)?.[1]?.padEnd(9, "0") ?? "0") / 1e6;
    events.push({ t: Math.floor(Date.parse(time) / 1000) * 1000 + fraction - OFFSET, up });
  }
  events.sort((a, b) => a.t - b.t);
  const away: Span[] = [];
  let from = 0;
  let isUp = false;
  for (const { t, up } of events) {
    if (up && !isUp) away.push({ from, to: t });
    if (!up && isUp) from = t;
    isUp = up;
  }
  if (!isUp) away.push({ from, to: Infinity });
  return [...away, ...still];
}
