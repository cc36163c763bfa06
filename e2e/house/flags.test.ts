import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DRIVER_SETTINGS } from "@dracpu/driver/config/settings.ts";
import { AGENT_SETTINGS } from "@dracpu/nri-agent/config/settings.ts";
import { flagTable } from "@dracpu/shared-proto/settings/settings.ts";
import { expect } from "chai";

const README = join(import.meta.dirname, "..", "..", "README.md");

describe("the README's tables of flags", () => {
  for (const [name, settings] of [
    ["driver", DRIVER_SETTINGS],
    ["agent", AGENT_SETTINGS],
  ] as const) {
    it(`say what the ${name} takes`, () => {
      const text = readFileSync(README, "utf8");
      const section = new RegExp(`(<!-- flags:${name} -->\\n)([\\s\\S]*?)(<!-- /flags -->)`);
      const wanted = `${flagTable(settings)}\n`;
      // `DRACPU_WRITE=1 npm run check:house` writes them anew.
      if (process.env["DRACPU_WRITE"] !== undefined)
        writeFileSync(
          README,
          text.replace(section, (_all, begin: string, _old, end: string) => begin + wanted + end),
        );
      else expect(section.exec(text)?.[2]).to.equal(wanted);
    });
  }
});
