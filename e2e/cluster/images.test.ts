import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { expect } from "chai";
import { extract, type Header } from "tar-stream";
import { world } from "./suite.ts";
import { NEXT, REPOSITORY } from "./world.ts";

interface Descriptor {
  readonly digest: string;
  readonly annotations?: Readonly<Record<string, string>>;
}
interface Image {
  readonly layers: readonly Descriptor[];
  readonly config: Readonly<Record<string, unknown>>;
  readonly files: ReadonlyMap<string, { readonly header: Header; readonly data: Buffer }>;
}

const OURS = { driver: "dracpu", "nri-agent": "dracpu-agent" } as const;
const LOCKED = JSON.parse(readFileSync(join(import.meta.dirname, "../../package-lock.json"), "utf8")) as {
  packages: Readonly<Record<string, { version: string }>>;
};

async function untar(archive: Buffer): Promise<Map<string, { header: Header; data: Buffer }>> {
  const found = new Map<string, { header: Header; data: Buffer }>();
  const members = Readable.from([archive]).pipe(extract());
  for await (const member of members)
    found.set(member.header.name, { header: member.header, data: await buffer(member) });
  return found;
}

// What the suite's node really imported.
describe("the built images", function () {
  this.timeout(60_000);
  const images = new Map<string, Image>();
  const image = (name: keyof typeof OURS): Image => images.get(`${REPOSITORY}/${name}:${VERSION}`) ?? expect.fail();
  const text = (name: keyof typeof OURS, path: string): string =>
    image(name).files.get(path)?.data.toString() ?? expect.fail(`no ${path} in ${name}`);

  before(async () => {
    const archive = await untar(readFileSync(join(world.node.dir, "images", "images.tar")));
    const blob = ({ digest }: Descriptor): Buffer => {
      const data = archive.get(`blobs/${digest.replace(":", "/")}`)?.data ?? expect.fail(`no ${digest}`);
      expect(`sha256:${createHash("sha256").update(data).digest("hex")}`).to.equal(digest);
      return data;
    };
    const json = (data: Buffer | undefined): unknown => JSON.parse(String(data));
    const layers = new Map<string, Map<string, { header: Header; data: Buffer }>>();
    const { manifests } = json(archive.get("index.json")?.data) as { manifests: Descriptor[] };
    for (const one of manifests) {
      const manifest = json(blob(one)) as { config: Descriptor; layers: Descriptor[] };
      const files = new Map<string, { header: Header; data: Buffer }>();
      for (const layer of manifest.layers) {
        if (!layers.has(layer.digest)) layers.set(layer.digest, await untar(blob(layer)));
        for (const [path, file] of layers.get(layer.digest) ?? []) files.set(path, file);
      }
      images.set(one.annotations?.["org.opencontainers.image.ref.name"] ?? "", {
        layers: manifest.layers,
        config: (json(blob(manifest.config)) as { config: Record<string, unknown> }).config,
        files,
      });
    }
  });

  it("stand on one layer, which a node stores and maps once", () => {
    const names = [VERSION, NEXT].flatMap((tag) => Object.keys(OURS).map((name) => `${REPOSITORY}/${name}:${tag}`));
    expect([...images.keys()].toSorted()).to.deep.equal(names.toSorted());
    const all = [...images.values()].map(({ layers }) => layers.map((one) => one.digest));
    expect(new Set(all.map(([base]) => base)).size, "bases").to.equal(1);
    expect(new Set(all.flat()).size, "layers of all").to.equal(3);
  });

  it("are labelled, and start their program by its own name", async () => {
    for (const name of ["driver", "nri-agent"] as const) {
      const { config, files } = image(name);
      expect(config["Labels"]).to.include({
        "org.opencontainers.image.title": `dra-driver-cpu ${name}`,
        "org.opencontainers.image.version": VERSION,
        "org.opencontainers.image.ref.name": VERSION,
        "org.opencontainers.image.licenses": "Apache-2.0",
      });
      const { "org.opencontainers.image.revision": revision } = config["Labels"] as Record<string, string>;
      expect(revision).to.match(/^[0-9a-f]{40}$/);
      expect(config).to.deep.include({ User: "0:0", Entrypoint: [`/usr/bin/${OURS[name]}`], Cmd: ["run"] });
      const link = files.get(`usr/bin/${OURS[name]}`)?.header;
      expect(link).to.include({ type: "symlink", linkname: `/opt/dracpu/${OURS[name]}.cjs` });
      const [first] = text(name, `opt/dracpu/${OURS[name]}.cjs`).split("\n", 1);
      expect(first).to.equal("#!/usr/bin/node");
    }
    const { config } = images.get(`${REPOSITORY}/driver:${NEXT}`) ?? expect.fail();
    expect(config["Labels"]).to.include({ "org.opencontainers.image.ref.name": NEXT });
  });

  it("have one program that anybody could start, Node, and no shell, package manager or other one", () => {
    for (const name of ["driver", "nri-agent"] as const) {
      const { files } = image(name);
      const machineCode = [...files].filter(([, { data }]) => data.subarray(0, 4).toString("latin1") === "\x7fELF");
      const [programs, libraries] = [false, true].map((isLibrary) =>
        machineCode.map(([path]) => path).filter((path) => /\.so(\.|$)/.test(path) === isLibrary),
      );
      expect(programs).to.deep.equal(["usr/bin/node"]);
      expect(libraries?.map((path) => path.split("/").pop())).to.include.members(["libc.so.6", "libstdc++.so.6"]);
      const scripts = [...files].filter(([, { data }]) => data.subarray(0, 2).toString("latin1") === "#!");
      expect(scripts.map(([path]) => path)).to.deep.equal([`opt/dracpu/${OURS[name]}.cjs`]);
      const inPath = [...files.keys()].filter((path) => /^(usr\/)?s?bin\/./.test(path));
      expect(inPath.toSorted()).to.deep.equal([`usr/bin/${OURS[name]}`, "usr/bin/node"].toSorted());
    }
  });

  it("belong to root, who alone may write, but for /tmp", () => {
    for (const name of ["driver", "nri-agent"] as const) {
      const odd = [...image(name).files].flatMap(([path, { header, data }]) => {
        const { mode, uid, gid, type } = header;
        const isRun = data.subarray(0, 2).toString("latin1") === "#!" || /^(usr\/bin|.*\.so[^/]*$)/.test(path);
        const wanted = type === "directory" ? (path === "tmp/" ? 0o1777 : 0o755) : isRun ? 0o755 : 0o644;
        if (type === "symlink") return [];
        return uid === 0 && gid === 0 && mode === wanted ? [] : [`${path} ${uid}:${gid} ${mode.toString(8)}`];
      });
      expect(odd, name).to.deep.equal([]);
      expect([...image(name).files.keys()]).to.include("tmp/");
    }
  });

  it("say in an SBOM what is in them: packages of the lock file in the bundle, Node, Debian's libraries", async () => {
    const program = join(world.node.dir, "images", "node");
    writeFileSync(program, image("driver").files.get("usr/bin/node")?.data ?? "", { mode: 0o755 });
    const node = execFileSync(program, ["-p", "process.versions.node"], { encoding: "utf8" });
    for (const name of ["driver", "nri-agent"] as const) {
      const sbom = text(name, "opt/dracpu/sbom.spdx.json");
      expect(readFileSync(join(world.node.dir, "images", `${name}.spdx.json`), "utf8"), "beside it").to.equal(sbom);
      const { packages } = JSON.parse(sbom) as {
        packages: { name: string; versionInfo: string; externalRefs?: { referenceLocator: string }[] }[];
      };
      const of = (kind: string): string[] =>
        packages
          .filter((one) => one.externalRefs?.[0]?.referenceLocator.startsWith(`pkg:${kind}/`))
          .map((one) => `${one.name}@${one.versionInfo}`);
      expect(of("generic")).to.deep.equal([`node@${node.trim()}`]);
      expect(of("deb").map((one) => one.split("@")[0])).to.deep.equal(["libc6", "libgcc-s1", "libstdc++6"]);
      const locked = Object.entries(LOCKED.packages).map(
        ([path, { version }]) => `${path.split("node_modules/").pop()}@${version}`,
      );
      expect(of("npm").filter((one) => !locked.includes(one))).to.deep.equal([]);
      const named = of("npm").map((one) => one.slice(0, one.lastIndexOf("@")));
      expect(named).to.include.members(["pino", "yaml", "yargs", "prom-client", "@bufbuild/protobuf"]);
      expect(named.includes("@grpc/grpc-js"), "gRPC").to.equal(name === "driver");
      expect(named, "what only development needs").not.to.include.oneOf(["esbuild", "chai", "mocha"]);
      const licences = text(name, "opt/dracpu/LICENSE.packages");
      for (const one of of("npm")) expect(licences).to.include(`\n${one.replace(/@(?=\d)/, " ")} (`);
      expect(licences).to.include("Copyright 2008 Google Inc.").and.include("MIT");
      const debian = text(name, "opt/dracpu/LICENSE.debian");
      for (const one of of("deb")) expect(debian).to.include(one.replace("@", " "));
      expect(debian).to.include("GCC Runtime Library Exception").and.include("GNU LESSER GENERAL PUBLIC LICENSE");
      expect(text(name, "opt/dracpu/LICENSE.node")).to.include("Node.js is licensed for use as follows");
      expect(text(name, "opt/dracpu/LICENSE")).to.include("Apache License");
    }
  });
});
