import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";

/** Figures of one bench, printed as they come; a budget that is broken is told again at the end. */
export class Figures {
  readonly #broken: string[] = [];

  /** What it runs on: figures of another machine are other figures. */
  machine(): void {
    const [cpu] = cpus();
    console.log(
      `on ${cpus().length} CPUs (${cpu?.model ?? "unknown"}), ${(totalmem() / 2 ** 30).toFixed(0)} GiB, Linux ${release()}, Node ${process.version}, load ${readFileSync("/proc/loadavg", "utf8").split(" ")[0] ?? ""}`,
    );
  }

  title(text: string): void {
    console.log(`\n${text}`);
  }

  /** @param times ms of single calls. @param budget upper bound of the 99th percentile in ms. */
  times(what: string, times: readonly number[], budget?: number): void {
    const sorted = [...times].sort((a, b) => a - b);
    const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
    const p99 = at(0.99);
    this.#row(
      what,
      `p50 ${at(0.5).toFixed(2)} ms   p99 ${p99.toFixed(2)} ms   max ${at(1).toFixed(2)} ms   (${sorted.length} calls)`,
      budget === undefined ? undefined : { isKept: p99 < budget, text: `p99 under ${budget} ms` },
    );
  }

  /** @param budget upper bound, in the figure's own unit. */
  one(what: string, value: number, unit: string, budget?: number): void {
    this.#row(
      what,
      `${value.toFixed(1)} ${unit}`,
      budget === undefined ? undefined : { isKept: value < budget, text: `under ${budget} ${unit}` },
    );
  }

  note(text: string): void {
    console.log(`  ${text}`);
  }

  /** @returns the exit status. */
  end(): number {
    console.log(this.#broken.length === 0 ? "\nall budgets kept" : `\nbroken budgets:\n  ${this.#broken.join("\n  ")}`);
    return this.#broken.length === 0 ? 0 : 1;
  }

  #row(what: string, text: string, budget?: { isKept: boolean; text: string }): void {
    const verdict = budget === undefined ? "" : `   ${budget.isKept ? "ok" : "BROKEN"}: ${budget.text}`;
    console.log(`  ${what.padEnd(58)} ${text}${verdict}`);
    if (budget?.isKept === false) this.#broken.push(`${what}: ${text}; wanted: ${budget.text}`);
  }
}

/** Memory of a process in MB, from /proc/PID/smaps_rollup. */
export function memoryOf(pid: number): { rss: number; pss: number; anonymous: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const of = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) / 1024;
  return { rss: of("Rss"), pss: of("Pss"), anonymous: of("Anonymous") };
}
