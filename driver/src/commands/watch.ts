import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { headLine, printMap } from "../cli/map.ts";
import { clock, plain } from "../cli/table.ts";
import type { Picture } from "../picture/picture.ts";
import { entryLine, type Entry } from "../picture/timeline.ts";
import { isJson, settingsOf, type Command } from "./argv.ts";
import { look } from "./look.ts";
import { mapOptions } from "./show.ts";

const EVERY_MS = 500;
const CLEAR = "\u001b[H\u001b[2J";
/** Lines of the history below the map. */
const SHOWN = 8;

/** The map drawn anew as things change, on a terminal; else a line for everything that happens. Comes back by itself whoever restarts. */
export const watch: Command = async (argv) => {
  const settings = settingsOf(argv);
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort());
  const isScreen = process.stdout.isTTY && !isJson(argv);
  let last: readonly Entry[] = [];
  let said = "";
  while (!stop.signal.aborted) {
    const { picture, entries } = await look(settings);
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
    await pause(EVERY_MS, stop.signal);
  }
  return 0;
};

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
