import { readFileSync } from "node:fs";

/** Milliseconds that a process's main thread has been in the queue for a CPU (Documentation/scheduler/sched-stats.rst). */
export function queuedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[1]) / 1e6;
}
