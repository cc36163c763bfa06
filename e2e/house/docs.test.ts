import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";

const ROOT = join(import.meta.dirname, "..", "..");
const documents = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.md"], {
  cwd: ROOT,
  encoding: "utf8",
})
  .split("\n")
  .filter((path) => path !== "" && existsSync(join(ROOT, path)));
const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
/** As GitHub makes them of headings. */
const anchors = (text: string): string[] =>
  [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );

describe("the documents", () => {
  it("link to what is there", () => {
    const broken: string[] = [];
    for (const path of documents)
      for (const [, target = ""] of read(path).matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^[a-z]+:/.test(target)) continue;
        const [file = "", anchor = ""] = target.split("#");
        const at = file === "" ? path : join(dirname(path), file);
        if (!existsSync(join(ROOT, at))) broken.push(`${path}: ${target}`);
        else if (anchor !== "" && at.endsWith(".md") && !anchors(read(at)).includes(anchor))
          broken.push(`${path}: ${target} (no such heading)`);
      }
    expect(broken).to.deep.equal([]);
  });

  it("name only commands that there are", () => {
    const known = [...read("driver/src/main.ts").matchAll(/\.command\(\s*"(\w+)/g)].map(([, name]) => name);
    const plugin = [...read("driver/src/kubectl/main.ts").matchAll(/"(\w+) <|\.command\(\s*"(\w+)/g)].flatMap(
      ([, a, b]) => a ?? b ?? [],
    );
    const scripts = Object.keys((JSON.parse(read("package.json")) as { scripts: object }).scripts);
    const wrong = documents.flatMap((path) => {
      const text = read(path);
      const named = (pattern: RegExp, names: readonly (string | undefined)[]): string[] =>
        [...text.matchAll(pattern)].flatMap(([all, name]) => (names.includes(name) ? [] : [`${path}: ${all}`]));
      return [
        ...named(/`(?<!kubectl )dracpu ([a-z]+)/g, [...known, "completion"]),
        ...named(/kubectl dracpu ([a-z]+)/g, [...plugin, "completion"]),
        ...named(/npm run ([a-z0-9:]+)/g, scripts),
      ];
    });
    expect(wrong).to.deep.equal([]);
  });
});
