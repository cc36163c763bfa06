import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { expect } from "chai";
import { configOf } from "../../images/build.ts";
import { unpack } from "../../images/contents.ts";

const TEXT = readFileSync(join(import.meta.dirname, "../../images/Dockerfile"), "utf8");

/** Configuration of an image by the Dockerfile's instructions, those of the stages below it first. */
function built(target: string, args: Readonly<Record<string, string>>): Record<string, unknown> {
  const stages = TEXT.replaceAll(/^#.*\n/gm, "")
    .replaceAll("\\\n", " ")
    .split(/^FROM /m);
  const stage = stages.find((one) => one.split("\n")[0]?.endsWith(` AS ${target}`));
  if (stage === undefined) return { Env: [], Labels: {}, args };
  const [head = "", ...lines] = stage.split("\n");
  const below = built(head.split(" ")[0] ?? "", args);
  const config = { ...below };
  const known = { ...(below["args"] as Record<string, string>) };
  const pairs = (text: string): [string, string][] =>
    [...text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S+))/g)].map(([, key = "", quoted, bare]) => [
      key,
      (quoted ?? bare ?? "").replaceAll(/\$(\w+)/g, (_, name: string) => known[name] ?? ""),
    ]);
  for (const line of lines) {
    const [, instruction = "", rest = ""] = /^(\w+) (.*)$/.exec(line) ?? [];
    if (instruction === "ARG") for (const [key, value] of pairs(rest)) known[key] ??= value;
    if (instruction === "ENV")
      config["Env"] = [...(config["Env"] as string[]), ...pairs(rest).map((one) => one.join("="))];
    if (instruction === "LABEL")
      config["Labels"] = { ...(config["Labels"] as object), ...Object.fromEntries(pairs(rest)) };
    if (instruction === "USER") config["User"] = rest;
    if (instruction === "WORKDIR") config["WorkingDir"] = rest;
    if (instruction === "ENTRYPOINT") config["Entrypoint"] = JSON.parse(rest);
    if (instruction === "CMD") config["Cmd"] = JSON.parse(rest);
  }
  return { ...config, args: known };
}

describe("the Dockerfile", () => {
  for (const name of ["driver", "nri-agent"] as const)
    it(`makes of ${name} what the script makes: environment, labels, user, entry point`, () => {
      const { args: _, ...told } = built(name, { REVISION: "abc", TAG: "next" });
      expect(told).to.deep.equal(configOf(name, "next", "abc"));
      const { args, ...untold } = built(name, {});
      expect(untold).to.deep.equal(configOf(name, VERSION, "unknown"));
      expect(args).to.include({ REVISION: "unknown" });
    });

  it("copies files with their own modes, whatever the umask", () => {
    const dir = mkdtempSync(join(tmpdir(), "im-"));
    const umask = process.umask(0o077);
    try {
      unpack(
        [
          { name: "tmp/", mode: 0o1777, type: "5" },
          { name: "usr/bin/x", mode: 0o755, type: "0", data: Buffer.from("x") },
          { name: "usr/bin/y", mode: 0o777, type: "2", link: "/usr/bin/x" },
          { name: "etc/passwd", mode: 0o644, type: "0" },
        ],
        dir,
      );
      const modes = ["tmp", "usr", "usr/bin/x", "etc/passwd"].map((path) => statSync(join(dir, path)).mode & 0o7777);
      expect(modes).to.deep.equal([0o1777, 0o755, 0o755, 0o644]);
    } finally {
      process.umask(umask);
      rmSync(dir, { recursive: true });
    }
  });
});
