import { readdirSync, readFileSync } from "node:fs";
import { percentile } from "./judge.ts";

interface Point {
  readonly n: number;
  /** Anonymous memory in MB: what a program allocated, without the pages of its files (proc_pid_status(5), RssAnon). */
  readonly memory: number;
  readonly files: number;
}

/** Memory and open files of a process over a number of rounds. */
export class Curve {
  readonly #name: string;
  readonly #pid: number;
  readonly #points: Point[] = [];

  constructor(name: string, pid: number) {
    this.#name = name;
    this.#pid = pid;
  }

  take(n: number): void {
    const status = readFileSync(`/proc/${this.#pid}/status`, "utf8");
    const memory = Number(/RssAnon:\s*(\d+) kB/.exec(status)?.[1]) / 1024;
    this.#points.push({ n, memory, files: readdirSync(`/proc/${this.#pid}/fd`).length });
  }

  print(): void {
    const line = (of: (one: Point) => number): string => this.#points.map((one) => of(one).toFixed(0)).join(" ");
    console.log(`      ${this.#name}: after ${line((one) => one.n)} rounds`);
    console.log(
      `      ${" ".repeat(this.#name.length)}  ${line((one) => one.memory)} MB, ${line((one) => one.files)} open files`,
    );
  }

  /** How the last third differs from the third before it: a heap breathes, a leak grows. @returns what grew. */
  growth(): string[] {
    const third = Math.floor(this.#points.length / 3);
    const median = (from: number, to: number, of: (one: Point) => number): number =>
      percentile(this.#points.slice(from, to).map(of), 50);
    const found: string[] = [];
    for (const [what, of, allowed] of [
      ["MB", (one: Point): number => one.memory, 8],
      ["open files", (one: Point): number => one.files, 3],
    ] as const) {
      const before = median(third, 2 * third, of);
      const after = median(2 * third, this.#points.length, of);
      if (after - before > allowed)
        found.push(`${this.#name}: from ${before.toFixed(0)} to ${after.toFixed(0)} ${what}`);
    }
    return found;
  }
}
