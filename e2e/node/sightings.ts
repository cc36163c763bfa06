import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const DOCUMENT = join(import.meta.dirname, "..", "..", "docs", "problems.md");
/** Where operators look. */
const PLACES = ["doctor", "Event", "metric", "page", "probe"] as const;
type Place = (typeof PLACES)[number];
const HEAD = [
  "| problem | code | `dracpu doctor` | Event | metric | page | `/readyz` |",
  "|---|---|--:|--:|--:|--:|--:|",
];

export interface Checks {
  /** Places that said nothing within the limit. */
  readonly missing: readonly Place[];
}

/** Which problem was seen where, after how long. */
export class Sightings {
  readonly #title: string;
  readonly #limitMs: number;
  readonly #everyMs: number;
  readonly #rows: string[] = [];

  /** @param title of the table in docs/problems.md. */
  constructor(title: string, limitMs: number, everyMs: number) {
    this.#title = title;
    this.#limitMs = limitMs;
    this.#everyMs = everyMs;
  }

  /** Asks every place until it says the problem. */
  async note(problem: string, code: string, says: Readonly<Record<Place, () => Promise<boolean>>>): Promise<Checks> {
    const began = performance.now();
    const missing: Place[] = [];
    const cells = await Promise.all(
      PLACES.map(async (place) => {
        while (performance.now() - began < this.#limitMs) {
          // Whoever is asked may be what is broken.
          if (await says[place]().catch(() => false)) return `${((performance.now() - began) / 1000).toFixed(1)} s`;
          await new Promise((resolve) => setTimeout(resolve, this.#everyMs));
        }
        missing.push(place);
        return "nothing";
      }),
    );
    this.#rows.push(`| ${[problem, code, ...cells].join(" | ")} |`);
    return { missing };
  }

  /** Prints the table; with `--full` it is the document's. */
  print(): void {
    const table = [...HEAD, ...this.#rows];
    console.log(table.map((line) => `      ${line}`).join("\n"));
    if (process.env["DRACPU_FULL"] === undefined) return;
    const text = readFileSync(DOCUMENT, "utf8");
    const from = text.indexOf("| problem |", text.indexOf(`## ${this.#title}\n`));
    const to = text.indexOf("\n\n", from);
    writeFileSync(DOCUMENT, `${text.slice(0, from)}${table.join("\n")}${text.slice(to)}`);
  }
}
