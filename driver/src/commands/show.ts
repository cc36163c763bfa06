import { SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { CLAIMS_LAYOUT, printClaims } from "../cli/claims.ts";
import { EXPLAIN_LAYOUT, printExplanations } from "../cli/explain.ts";
import { statusOf } from "../cli/findings.ts";
import { printMap } from "../cli/map.ts";
import { explain } from "../picture/explain.ts";
import { isJson, printJson, settingsOf, type Argv, type Command } from "./argv.ts";
import { look, lookAtFile, type Looked } from "./look.ts";

/** Where there is no terminal. */
const WIDTH = 120;

export const map: Command = async (argv) => {
  const { picture, entries } = await looked(argv);
  if (isJson(argv)) printJson({ picture, entries });
  else console.log(printMap(picture, { ...mapOptions(argv), nowMs: nowOf(argv, picture.asOfMs) }));
  return statusOf(picture.findings);
};

export const claims: Command = async (argv) => {
  const { picture } = await looked(argv);
  if (isJson(argv)) printJson({ layout: CLAIMS_LAYOUT, node: picture.node, claims: picture.claims });
  else console.log(printClaims(picture));
  return 0;
};

export const why: Command = async (argv) => {
  const { picture, entries } = await looked(argv);
  const who = String(argv["pod"]);
  const found = explain(picture, entries, who);
  if (isJson(argv)) printJson({ layout: EXPLAIN_LAYOUT, node: picture.node, containers: found });
  if (found.length === 0) {
    const known = [...new Set(picture.containers.map((one) => `${one.namespace}/${one.pod}`))].slice(0, 10);
    throw new SettingsFault(
      `No container of ${who} is known on this node${known.length === 0 ? "" : `; there are ${known.join(", ")}`}`,
    );
  }
  if (!isJson(argv)) console.log(printExplanations(found, nowOf(argv, picture.asOfMs)));
  return found.some((one) => one.isWrong) ? 3 : 0;
};

export function mapOptions(argv: Argv): { readonly width: number; readonly fold: boolean } {
  return { width: process.stdout.columns ?? WIDTH, fold: argv["fold"] !== false };
}

function looked(argv: Argv): Promise<Looked> {
  const file = argv["from"];
  return typeof file === "string" ? lookAtFile(file) : look(settingsOf(argv));
}

/** Ages in a file are those of its moment. */
function nowOf(argv: Argv, asOfMs: number): number {
  return typeof argv["from"] === "string" ? asOfMs : Date.now();
}
