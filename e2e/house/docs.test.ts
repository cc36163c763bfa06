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

  it("name only tests that there are", () => {
    const wrong: string[] = [];
    for (const path of documents)
      for (const [, target = "", name = ""] of read(path).matchAll(/\]\(([^)\s]+\.ts)\) "([^"]*)"/g))
        if (name === "" || !read(join(dirname(path), target)).includes(name))
          wrong.push(`${path}: ${target} "${name}"`);
    expect(wrong).to.deep.equal([]);
  });

  it("say the same about the first five commands, in the README and where one sees what they print", () => {
    const [, block = ""] = /^## Install\n[^]*?\n```\n([^]*?)```/m.exec(read("README.md")) ?? [];
    const [, section = ""] = /^## Five commands\n([^]*?)^## /m.exec(read("docs/quickstart.md")) ?? [];
    const steps = section
      .split(/^\$ /m)
      .slice(1)
      .map((step) => step.split("\n"));
    const shown = block.split(/^(?!#)/m).map((step) => step.trimEnd().split("\n"));
    expect(shown.map(([command]) => command)).to.deep.equal(steps.map(([command]) => command));
    expect(shown).to.have.length(5);
    // Of what is printed the README has a part, with `...` for what is left out of a line.
    const whole = (line: string): RegExp => {
      const parts = line.replace(/^# {3}/, "").split("...");
      return new RegExp(`^${parts.map((part) => part.replaceAll(/[.*+?^$()[\]{}|\\]/g, "\\$&")).join(".*")}$`);
    };
    for (const [i, [command, ...lines]] of shown.entries()) {
      expect(lines, command).not.to.have.length(0);
      const printed = steps[i] ?? [];
      const wrong = lines.filter((line) => !printed.some((one) => whole(line).test(one)));
      expect(wrong, command).to.deep.equal([]);
    }
  });

  it("say what a new namespace needs where they make one", () => {
    const [making, saying] = [/helm install\b.*--create-namespace/, /pod-security\.kubernetes\.io|#the-namespace\)/];
    const makers = documents.filter((path) => making.test(read(path)));
    expect(makers).to.include.members(["README.md", "docs/install.md", "docs/quickstart.md"]);
    expect(makers.filter((path) => !saying.test(read(path)))).to.deep.equal([]);
  });

  it("say what of the emulated nodes a release was tried on, as the suite takes it without flags", () => {
    const [, parts = ""] = /const SHORT = \[(.*)\]/.exec(read("e2e/guestnode/run.ts")) ?? [];
    const [, said = ""] = /of `npm run e2e:guest` (.*?) \|/.exec(read("docs/install.md")) ?? [];
    expect(said.replaceAll(/ \(.*?\)/g, "")).to.equal(parts.replaceAll('"', ""));
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
