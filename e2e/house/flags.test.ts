import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DRIVER_SETTINGS } from "@dracpu/driver/config/settings.ts";
import { AGENT_SETTINGS } from "@dracpu/nri-agent/config/settings.ts";
import { commandFirst } from "@dracpu/shared-proto/settings/commandfirst.ts";
import { flagTable } from "@dracpu/shared-proto/settings/settings.ts";
import { expect } from "chai";
import { commandsOf, flagsOf, type Flag } from "./helptext.ts";

const README = join(import.meta.dirname, "..", "..", "README.md");
const PROGRAMS = [
  { table: "driver", name: "dracpu", main: "driver/src/main.ts", settings: DRIVER_SETTINGS },
  { table: "agent", name: "dracpu-agent", main: "nri-agent/src/main.ts", settings: AGENT_SETTINGS },
  { table: undefined, name: "kubectl dracpu", main: "driver/src/kubectl/main.ts", settings: [] },
] as const;
const sectionOf = (table: string): RegExp => new RegExp(`(<!-- flags:${table} -->\\n)([\\s\\S]*?)(<!-- /flags -->)`);
const code = (words: readonly string[]): string => words.map((word) => `\`${word}\``).join(", ");

/** `DRACPU_WRITE=1 npm run check:house` writes it anew. */
function isWritten(table: string, rows: string): void {
  const text = readFileSync(README, "utf8");
  if (process.env["DRACPU_WRITE"] === undefined) expect(sectionOf(table).exec(text)?.[2]).to.equal(`${rows}\n`);
  else
    writeFileSync(
      README,
      text.replace(sectionOf(table), (_, begin: string, _old, end) => `${begin}${rows}\n${end}`),
    );
}

const choicesOf = (flag: Flag): string[] => {
  const mark = flag.marks.find((one) => one.startsWith("choices: "))?.slice("choices: ".length);
  return mark === undefined ? [] : (JSON.parse(`[${mark}]`) as string[]);
};

describe("the README's tables of flags", function () {
  this.timeout(30_000);
  /** As yargs itself tells: of each program, of each of its commands. */
  const taken = new Map<string, Map<string, Flag[]>>();

  before(async () => {
    for (const { name, main } of PROGRAMS) {
      const commands = new Map<string, Flag[]>();
      for (const command of await commandsOf(main, name))
        if (command !== "completion") commands.set(command, await flagsOf(main, command));
      taken.set(name, commands);
    }
  });

  for (const { table, name, settings } of PROGRAMS) {
    if (table === undefined) continue;
    it(`say what the ${table} takes`, () => {
      isWritten(table, flagTable(settings));
    });

    it(`have every flag of \`${name} run\` and none that it refuses`, () => {
      const rows = sectionOf(table).exec(readFileSync(README, "utf8"))?.[2] ?? "";
      const cells = rows.split("\n").slice(2, -1);
      const said = cells.map((row) => {
        const [, flags = "", , , text = ""] = row.split("|");
        const [, choices = ""] = / One of ([^.]*)\. $/.exec(text) ?? [];
        return [flags, choices].map((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, word = ""]) => word).toSorted());
      });
      const real = (taken.get(name)?.get("run") ?? []).filter(
        ({ names }) => !names.includes("--config") && !names.includes("--help"),
      );
      expect(said).to.deep.equal(real.map((flag) => [flag.names.toSorted(), choicesOf(flag).toSorted()]));
    });

    it(`hold for every command of \`${name}\` that takes one of them`, () => {
      const flags = new Set(settings.map((one) => `--${one.flag}`));
      for (const [command, list] of taken.get(name) ?? []) {
        const count = list.filter((one) => one.names.some((word) => flags.has(word))).length;
        expect(count, command).to.be.oneOf([0, settings.length]);
      }
    });
  }

  it("hold for flags before a command, as after it", () => {
    for (const { name, settings } of PROGRAMS) {
      if (settings.length === 0) continue;
      for (const [command, list] of taken.get(name) ?? [])
        for (const { names, marks } of list)
          for (const flag of names) {
            const typed = marks.includes("boolean") ? [flag] : [flag, "x"];
            expect(commandFirst([...typed, command], settings), `${name} ${typed.join(" ")} ${command}`).to.deep.equal([
              command,
              ...typed,
            ]);
          }
    }
  });

  it("say what else commands take", () => {
    const rows = new Map<string, { flag: Flag; of: Map<string, string[]> }>();
    const note = (flag: Flag, program: string, command: string): void => {
      const key = JSON.stringify(flag);
      const row = rows.get(key) ?? { flag, of: new Map<string, string[]>() };
      row.of.set(program, [...(row.of.get(program) ?? []), command]);
      rows.set(key, row);
    };
    for (const { name, settings } of PROGRAMS) {
      const above: Flag = { names: [], says: `those of \`${name} run\` above`, marks: [] };
      for (const [command, list] of taken.get(name) ?? []) {
        const own = list.filter((one) => !settings.some(({ flag }) => one.names.includes(`--${flag}`)));
        if (own.length < list.length && command !== "run") note(above, name, command);
        for (const flag of own) note(flag, name, command);
      }
    }
    const lines = [...rows.values()].map(({ flag, of }) => {
      const where = [...of].map(([program, commands]) =>
        commands.length === taken.get(program)?.size ? `\`${program}\`: all` : `\`${program}\`: ${commands.join(", ")}`,
      );
      const byDefault = flag.marks.find((one) => one.startsWith("default: "))?.slice("default: ".length) ?? "";
      const choices = choicesOf(flag);
      const says = `${flag.says}${choices.length === 0 ? "" : `. One of ${code(choices)}`}`;
      if (flag.names.length === 0) return `| ${flag.says} | ${where.join("; ")} | | |`;
      return `| ${code(flag.names)} | ${where.join("; ")} | ${byDefault === "" ? "" : code([byDefault.replaceAll('"', "")])} | ${says} |`;
    });
    isWritten("commands", ["| flag | taken by | default | |", "|---|---|---|---|", ...lines].join("\n"));
  });
});
