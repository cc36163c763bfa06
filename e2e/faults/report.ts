import { percentile, tooLong, type Verdict } from "./judge.ts";
import type { Recording } from "./observer.ts";

/** Of `--minutes`; two weathers share the time that CI has. */
export function minutes(): number {
  return Number(process.env["DRACPU_MINUTES"] ?? 2);
}

/** Prints what was seen. @param least looks a second. @returns what is wrong with it. */
export function explain(recording: Recording, verdict: Verdict, least = 20): string[] {
  const seconds = (recording.end - recording.begin) / 1000;
  const rate = recording.looks / seconds;
  const stalled = recording.stalls.map(({ from, to }) => to - from);
  console.log(
    `      ${verdict.claimed} claims' containers and ${verdict.shared} others ran; looked at ${rate.toFixed(0)} times a second for ${seconds.toFixed(0)} s; ${stalled.length} stalls, longest ${Math.max(0, ...stalled).toFixed(0)} ms`,
  );
  const there = verdict.episodes.filter((one) => one.afterReturn === undefined).map((one) => one.ms);
  const away = verdict.episodes.filter((one) => one.afterReturn !== undefined);
  console.log(`      others on a claim's CPU with the agent there: ${figures(there)}`);
  console.log(
    `      with it away: ${figures(away.map((one) => one.ms))}; after its return: ${figures(away.map((one) => one.afterReturn ?? 0))}`,
  );
  const slow =
    rate < least ? [`the observer looked ${rate.toFixed(1)} times a second; at least ${least} are needed`] : [];
  return [...slow, ...verdict.failures, ...tooLong(verdict.episodes)];
}

function figures(ms: readonly number[]): string {
  if (ms.length === 0) return "never";
  return `${ms.length} times, p50 ${percentile(ms, 50).toFixed(0)} ms, p99 ${percentile(ms, 99).toFixed(0)} ms, longest ${percentile(ms, 100).toFixed(0)} ms`;
}
