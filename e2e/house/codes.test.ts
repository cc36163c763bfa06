import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ALL_CODES, codeOf, CODES, codesDocument } from "@dracpu/shared-proto/codes/codes.ts";
import { expect } from "chai";

const ROOT = join(import.meta.dirname, "..", "..");
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const sources = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((path) => /^(driver|nri-agent|charts|docs|shared-proto\/src|README)/.test(path) && !path.includes("/gen/"));

describe("the codes", () => {
  it("are each one's own, and of one form", () => {
    const ids = ALL_CODES.map((code) => code.id);
    expect(new Set(ids).size).to.equal(ids.length);
    expect(ids.filter((id) => !/^DRACPU-[1-6]\d\d$/.test(id))).to.deep.equal([]);
    expect(ids).to.deep.equal([...ids].sort());
  });

  it("are each told by some program", () => {
    const text = sources
      .filter((path) => path.endsWith(".ts") && !path.startsWith("shared-proto/src/codes/"))
      .map(read)
      .join("\n");
    const silent = Object.keys(CODES).filter((name) => !text.includes(`CODES.${name}`));
    expect(silent).to.deep.equal([]);
  });

  it("are all known, wherever one is written out", () => {
    const unknown = sources.flatMap((path) =>
      [...read(path).matchAll(/DRACPU-\d{3}/gi)]
        .map(([id]) => id.toUpperCase())
        .filter((id) => codeOf(id) === undefined)
        .map((id) => `${path}: ${id}`),
    );
    expect(unknown).to.deep.equal([]);
  });

  it("have a document that says the same", () => {
    // `DRACPU_WRITE=1 npm run check:house` writes it anew.
    const path = join(ROOT, "docs", "codes.md");
    if (process.env["DRACPU_WRITE"] !== undefined) writeFileSync(path, codesDocument());
    expect(readFileSync(path, "utf8")).to.equal(codesDocument());
  });
});
