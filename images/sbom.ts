import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Metafile } from "esbuild";
import type { Part } from "./base.ts";

const ROOT = join(import.meta.dirname, "..");

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** Below the root, and of it those files that are in the bundle. */
  readonly dir: string;
  readonly files: readonly string[];
}

/** npm packages of which at least one byte is in the bundle, by the bundler's own account. */
export function bundledPackages(metafile: Metafile): BundledPackage[] {
  const dirs = new Map<string, string[]>();
  for (const output of Object.values(metafile.outputs)) {
    for (const [file, { bytesInOutput }] of Object.entries(output.inputs)) {
      const dir = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(file)?.[1];
      if (dir !== undefined && bytesInOutput > 0) dirs.set(dir, [...(dirs.get(dir) ?? []), file]);
    }
  }
  return [...dirs].sort().map(([dir, files]) => {
    const path = join(ROOT, dir, "package.json");
    if (!existsSync(path)) throw new Error(`Cannot tell what ${dir} is: it has no package.json`);
    const { name, version, license } = JSON.parse(readFileSync(path, "utf8")) as Record<string, string>;
    const said = typeof license === "string" ? license : "NOASSERTION";
    return { name: name ?? "", version: version ?? "", license: said, dir, files };
  });
}

/** What is in an image, as SPDX 2.3: the program, each npm package in its bundle, Node with its own parts, Debian's libraries. */
export function sbomOf(
  image: string,
  version: string,
  created: string,
  metafile: Metafile,
  parts: readonly Part[],
): string {
  const root = "SPDXRef-image";
  const packages: object[] = [entry(root, image, version, "Organization: dra-driver-cpu", "Apache-2.0", undefined)];
  const relations: object[] = [
    { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: root },
  ];
  const add = (id: string, within: string, ...rest: Tail): void => {
    packages.push(entry(id, ...rest));
    relations.push({ spdxElementId: within, relationshipType: "CONTAINS", relatedSpdxElement: id });
  };
  for (const { name, version, license } of bundledPackages(metafile)) {
    const id = `SPDXRef-npm-${clean(name)}-${clean(version)}`;
    add(id, root, name, version, "NOASSERTION", license, `pkg:npm/${name.replace("@", "%40")}@${version}`);
  }
  for (const part of parts) {
    const isNode = part.name === "node";
    const id = `SPDXRef-${isNode ? "" : "deb-"}${clean(part.name)}`;
    const purl = isNode ? `pkg:generic/node@${part.version}` : `pkg:deb/debian/${part.name}@${part.version}`;
    add(id, root, part.name, part.version, part.supplier, part.license, purl);
    if (!isNode) continue;
    for (const [name, version] of Object.entries(process.versions)) {
      if (version === undefined || ["node", "modules", "napi", ""].includes(name) || version === "") continue;
      add(`SPDXRef-node-${clean(name)}`, id, name, version, "NOASSERTION", "NOASSERTION", undefined);
    }
  }
  return JSON.stringify(
    {
      spdxVersion: "SPDX-2.3",
      dataLicense: "CC0-1.0",
      SPDXID: "SPDXRef-DOCUMENT",
      name: `${image}-${version}`,
      documentNamespace: `https://dra.cpu/spdx/${image}-${version}-${Date.parse(created)}`,
      creationInfo: { created, creators: ["Tool: dra-driver-cpu-images"] },
      packages,
      relationships: relations,
    },
    undefined,
    1,
  );
}

type Tail = [name: string, version: string, supplier: string, license: string, purl: string | undefined];

function entry(id: string, ...[name, version, supplier, license, purl]: Tail): object {
  return {
    SPDXID: id,
    name,
    versionInfo: version,
    supplier,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: "NOASSERTION",
    licenseDeclared: license,
    copyrightText: "NOASSERTION",
    ...(purl === undefined
      ? {}
      : {
          externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl }],
        }),
  };
}

function clean(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9.-]+/g, "-");
}
