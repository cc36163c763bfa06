import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { stringify } from "yaml";
import { tar } from "./tar.ts";

/** kubectl's plugin as Krew wants it: one archive for every platform, since it is a script for the Node that people have. */
export interface KrewPlugin {
  readonly archive: Buffer;
  /** krew.googlecontainertools.github.com/v1alpha2, Plugin. */
  readonly manifest: string;
}

/** @param uri where the archive will be; `kubectl krew install --manifest=FILE --archive=FILE` does not ask for it. */
export function krewPlugin(version: string, uri: string, plugin: Buffer, license: Buffer): KrewPlugin {
  const archive = gzipSync(
    tar([
      { name: "LICENSE", mode: 0o644, type: "0", data: license },
      { name: "kubectl-dracpu", mode: 0o755, type: "0", data: plugin },
    ]),
    { level: 9 },
  );
  const sha256 = createHash("sha256").update(archive).digest("hex");
  const platform = (os: string): object => ({
    selector: { matchLabels: { os } },
    uri,
    sha256,
    bin: "kubectl-dracpu",
    files: ["LICENSE", "kubectl-dracpu"].map((from) => ({ from, to: "." })),
  });
  const manifest = stringify({
    apiVersion: "krew.googlecontainertools.github.com/v1alpha2",
    kind: "Plugin",
    metadata: { name: "dracpu" },
    spec: {
      version: `v${version}`,
      shortDescription: "Show which CPUs pods have to themselves",
      description:
        "Shows, for every node with dra-driver-cpu, which claims and containers hold which CPUs, why, and what is wrong.",
      caveats: "Needs Node.js 22.15 or later on the PATH.",
      platforms: ["linux", "darwin"].map(platform),
    },
  });
  return { archive, manifest };
}
