import { collectDefaultMetrics, type Registry } from "prom-client";

/** In ms, more than three weeks: the longest that libuv's timers take. */
const NEVER = 2 ** 31 - 1;
const LAG_SUMMARIES = ["min", "max", "mean", "stddev", "p50", "p90", "p99"].map(
  (one) => `nodejs_eventloop_lag_${one}_seconds`,
);

/**
 * Adds `process_*` and `nodejs_*` to a registry, without the summaries of the event loop's lag: for these Node wakes the process a hundred times a second, which
 * is more than all that a program does on an idle node, and comes off its part of a CPU that is wanted by many. `nodejs_eventloop_lag_seconds` stays.
 * Called when a program's sockets answer: a start has to wait for none of them.
 */
export function watchProcess(register: Registry): void {
  collectDefaultMetrics({ register, eventLoopMonitoringPrecision: NEVER });
  for (const name of LAG_SUMMARIES) register.removeSingleMetric(name);
}
