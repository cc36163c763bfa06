import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { Metafile } from "esbuild";
import { parse } from "yaml";
import { bundle } from "../../images/bundle.ts";
import { Headers as LightHeaders } from "../../images/headers.ts";
import { krewPlugin } from "../../images/krew.ts";
import { bundledPackages, sbomOf } from "../../images/sbom.ts";
import { tar } from "../../images/tar.ts";

describe("images", () => {
  it("count as bundled only what has bytes in the bundle", () => {
    const inputs = {
      "node_modules/yaml/dist/index.js": { bytesInOutput: 9 },
      "node_modules/pino/pino.js": { bytesInOutput: 0 },
      "driver/src/main.ts": { bytesInOutput: 9 },
    };
    const metafile = { inputs: {}, outputs: { out: { inputs } } } as unknown as Metafile;
    expect(bundledPackages(metafile).map((one) => one.name)).to.deep.equal(["yaml"]);
    const sbom = JSON.parse(sbomOf("driver", "1", "2026-01-01T00:00:00Z", metafile, [])) as {
      packages: { name: string; externalRefs?: { referenceLocator: string }[] }[];
    };
    expect(sbom.packages.map((one) => one.name)).to.deep.equal(["driver", "yaml"]);
    expect(sbom.packages[1]?.externalRefs?.[0]?.referenceLocator).to.match(/^pkg:npm\/yaml@\d/);
  });

  it("load parts of Node that a program uses later when it asks for them, however it names them", async () => {
    const dir = mkdtempSync(join(tmpdir(), "im-"));
    try {
      const entry = join(dir, "entry.ts");
      writeFileSync(
        entry,
        `import http2, { constants } from "node:http2";
        import * as https from "https";
        const zlib = require("zlib");
        const loaded = () => ["http2", "https", "zlib"].filter((name) => process.moduleLoadList.includes("NativeModule " + name)).join();
        console.log([loaded(), constants.HTTP2_HEADER_PATH, http2.constants === constants, typeof https.request, zlib.crc32("a") > 0, loaded()].join(" "));`,
      );
      await bundle(entry, join(dir, "out.cjs"));
      const said = execFileSync(process.execPath, [join(dir, "out.cjs")], { encoding: "utf8" });
      expect(said.trim()).to.equal(" :path true function true http2,https,zlib".trim());
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("have headers that do what the standard's do", () => {
    for (const Each of [Headers, LightHeaders as unknown as typeof Headers]) {
      const headers = new Each({ A: "1" });
      headers.append("a", "2");
      headers.set("B", "3");
      headers.append("c", "4");
      headers.delete("C");
      expect([...new Each([...headers])]).to.deep.equal([
        ["a", "1, 2"],
        ["b", "3"],
      ]);
      expect([headers.get("A"), headers.get("none"), headers.has("b"), headers.has("c")]).to.deep.equal([
        "1, 2",
        null,
        true,
        false,
      ]);
      const seen: string[] = [];
      headers.forEach((value, name) => seen.push(`${name}=${value}`));
      expect([seen, [...headers.keys()], [...headers.values()]]).to.deep.equal([
        ["a=1, 2", "b=3"],
        ["a", "b"],
        ["1, 2", "3"],
      ]);
    }
  });

  it("are archives with sums that tar checks, and refuse names that do not fit", () => {
    const archive = tar([{ name: "a", mode: 0o644, type: "0", data: Buffer.from("x") }]);
    const sum = archive.subarray(0, 512).reduce((total, byte, n) => total + (n >= 148 && n < 156 ? 32 : byte), 0);
    expect(parseInt(archive.toString("ascii", 148, 154), 8)).to.equal(sum);
    expect(() => tar([{ name: "x".repeat(101), mode: 0o644, type: "0" }])).to.throw("longer than 100 bytes");
  });

  it("have beside them kubectl's plugin for Krew: an archive, and a manifest that knows its sum", () => {
    const { archive, manifest } = krewPlugin(
      "1.2.3",
      "https://x/y.tar.gz",
      Buffer.from("plugin"),
      Buffer.from("words"),
    );
    const listed = execFileSync("tar", ["-tvz"], { input: archive, encoding: "utf8" });
    expect(listed)
      .to.match(/-rwxr-xr-x .* kubectl-dracpu/)
      .and.include("LICENSE");
    const { metadata, spec } = parse(manifest) as {
      metadata: { name: string };
      spec: { version: string; platforms: { bin: string; sha256: string; selector: object }[] };
    };
    expect([metadata.name, spec.version]).to.deep.equal(["dracpu", "v1.2.3"]);
    for (const one of spec.platforms)
      expect(one).to.include({ bin: "kubectl-dracpu", sha256: createHash("sha256").update(archive).digest("hex") });
  });
});
