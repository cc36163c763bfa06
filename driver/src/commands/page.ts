import { runProgram } from "@dracpu/shared-proto/lifecycle/program.ts";
import type { PageSources } from "../page/sources.ts";
import { servePage } from "../page/serve.ts";
import type { Numbered } from "../picture/timeline.ts";
import { settingsOf, textOf, type Command } from "./argv.ts";
import { look, lookAtFile, type Looked } from "./look.ts";

/** The page of this node or of a file, for whoever has no driver that serves it. */
export const page: Command = async (argv) => {
  const file = argv["from"];
  const listen = textOf(argv, "listen", "127.0.0.1:8083");
  const saved = typeof file === "string" ? await lookAtFile(file) : undefined;
  const settings = settingsOf(argv);
  const sources = sourcesOf(() => (saved === undefined ? look(settings) : Promise.resolve(saved)));
  const say = { info: (message: string) => console.log(message), error: (message: string) => console.error(message) };
  return runProgram(async (program) => {
    await sources.picture();
    program.onStop(await servePage(listen, sources));
    console.log(`http://${listen}/`);
  }, say);
};

function sourcesOf(looked: () => Promise<Looked>): PageSources {
  let entries: readonly Numbered[] = [];
  return {
    picture: async () => {
      const { picture, entries: told } = await looked();
      entries = told.map((entry, n) => ({ ...entry, seq: n + 1 }));
      return picture;
    },
    entries: (afterSeq) => entries.filter((entry) => entry.seq > afterSeq),
    subscribe: () => () => {},
  };
}
