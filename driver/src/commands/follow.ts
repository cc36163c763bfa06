import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { headLine, printMap } from "../cli/map.ts";
import { clock, plain } from "../cli/table.ts";
import type { Picture } from "../picture/picture.ts";
import { entryLine, type Entry } from "../picture/timeline.ts";
import { isJson, type Argv } from "./argv.ts";
import type { Looked } from "./look.ts";
import { mapOptions } from "./show.ts";

export const CLEAR = "\u001b[H\u001b[2J";
/** Lines of the history below the map. */
const SHOWN = 8;

/**
 * The map drawn anew as things change, on a terminal; else a line for everything that happens. Ends with Ctrl-C; who does not answer after a first answer is waited for, and
 * that is said once.
 *
 * @param ask looks at the node. @throws what the first look throws.
 */
export async function follow(ask: () => Promise<Looked>, argv: Argv, everyMs: number): Promise<number> {
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const isScreen = process.stdout.isTTY && !isJson(argv);
  let looked = await ask();
  let last: readonly Entry[] = [];
  let said = "";
  let fault = "";
  while (!stop.signal.aborted) {
    const { picture, entries } = looked;
    const news = newsOf(last, entries);
    last = entries;
    if (isScreen) {
      const history = entries.slice(-SHOWN).map((entry) => plain(entryLine(entry, clock)));
      const map = printMap(picture, { ...mapOptions(argv), nowMs: Date.now() });
      process.stdout.write(`${CLEAR}${map}\n\n${history.join("\n")}\n`);
    } else {
      const state = stateOf(picture);
      if (state !== said && !isJson(argv)) console.log(headLine(picture, Date.now()));
      said = state;
      for (const entry of news) console.log(isJson(argv) ? JSON.stringify(entry) : plain(entryLine(entry, clock)));
    }
    await pause(everyMs, stop.signal);
    try {
      if (!stop.signal.aborted) looked = await ask();
      fault = "";
    } catch (cause) {
      const why = (cause as Error).message;
      if (why !== fault) console.error(`${why}; asking again`);
      fault = why;
    }
  }
  return 0;
}

/** Rings of a program that restarted begin anew, so entries are told apart by what they say. */
function newsOf(before: readonly Entry[], now: readonly Entry[]): Entry[] {
  const known = new Set(before.map(keyOf));
  return now.filter((entry) => !known.has(keyOf(entry)));
}

function keyOf({ timeMs, source, kind, text, pod, container, claim }: Entry): string {
  return JSON.stringify([timeMs, source, kind, text, pod, container, claim]);
}

function stateOf({ driver, agent }: Picture): string {
  return JSON.stringify([driver.isRunning, agent.isRunning, agent.session]);
}
