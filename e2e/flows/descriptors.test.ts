import { execFileSync } from "node:child_process";
import { globSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import { build } from "esbuild";
import { expect } from "chai";
import { READ_DESCRIPTORS } from "../../images/descriptors.ts";

const GENERATED = join(import.meta.dirname, "../../shared-proto/src/gen");
/** Each part of each descriptor, others by their names; of what it was made from what is said, and what is a default. */
const TOLD = `
const INSIDE = ["messages", "enums", "services", "extensions", "fields", "oneofs", "nestedMessages", "nestedEnums", "nestedExtensions", "methods", "values"];
const named = (value) => typeof value !== "object" || value === null ? String(value) : typeof value.kind === "string" ? value.typeName ?? value.name : Object.keys(value);
const said = (proto) => { const all = []; for (const key in proto) all.push([key, Object.hasOwn(proto, key), named(proto[key])]); return all.sort(); };
const told = (desc) => Object.entries(desc).map(([key, value]) =>
  [key, key === "proto" ? said(value) : INSIDE.includes(key) ? value.map(told) : named(value)]);
const all = Object.values(FILES).flatMap((file) => Object.values(file)).filter((one) => one?.kind === "file");
console.log(JSON.stringify(all.map(told)));`;

describe("descriptors in a bundle", () => {
  const dir = mkdtempSync(join(tmpdir(), "lean-"));
  after(() => rmSync(dir, { recursive: true }));

  it("tell the same of each message, field, enum and method as those that the library reads", async () => {
    const files = globSync("**/*_pb.ts", { cwd: GENERATED });
    expect(files.length).to.be.above(8);
    const contents = [
      ...files.map((file, n) => `import * as file${n} from "./${file}";`),
      `const FILES = { ${files.map((_, n) => `file${n}`).join(", ")} };`,
      TOLD,
    ].join("\n");
    const [whole = "", lean = ""] = await Promise.all(
      [[], [READ_DESCRIPTORS]].map(async (plugins, n) => {
        const outfile = join(dir, `${n}.mjs`);
        const stdin = { contents, resolveDir: GENERATED };
        const { metafile } = await build({
          stdin,
          outfile,
          bundle: true,
          platform: "node",
          format: "esm",
          metafile: true,
          plugins,
        });
        const [made] = Object.values(metafile.outputs);
        const isThere = Object.entries(made?.inputs ?? {}).some(
          ([name, { bytesInOutput }]) => name.endsWith("/descriptor_pb.js") && bytesInOutput > 0,
        );
        expect(isThere).to.equal(plugins.length === 0);
        return execFileSync(process.execPath, [outfile], { encoding: "utf8", maxBuffer: 64 << 20 });
      }),
    );
    expect(whole.length).to.be.above(10_000);
    expect(lean).to.equal(whole);
  });
});
