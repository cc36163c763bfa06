import { gzipSync } from "node:zlib";
import { tar } from "./tar.ts";

/** kubectl's plugin as npm installs it, `npm install --global FILE`: one file, and no package beside it. */
export function npmPlugin(version: string, plugin: Buffer, license: Buffer, leastNode: string): Buffer {
  const manifest = {
    name: "kubectl-dracpu",
    version,
    description: "kubectl dracpu: which CPUs pods have to themselves",
    license: "Apache-2.0",
    // It has no suffix that would say so.
    type: "module",
    bin: { "kubectl-dracpu": "kubectl-dracpu" },
    engines: { node: `>=${leastNode}` },
  };
  return gzipSync(
    tar([
      { name: "package/package.json", mode: 0o644, type: "0", data: Buffer.from(JSON.stringify(manifest)) },
      { name: "package/LICENSE", mode: 0o644, type: "0", data: license },
      { name: "package/kubectl-dracpu", mode: 0o755, type: "0", data: plugin },
    ]),
    { level: 9 },
  );
}
