import { readFileSync } from "node:fs";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { makeBase, NODE_PATH } from "../../images/base.ts";
import { ENVIRONMENT } from "../../images/environment.ts";
import { layer, writeImages } from "../../images/oci.ts";
import { FIXTURE } from "../faults/skew/older.ts";
import { REPOSITORY } from "./world.ts";

/** Tag of images with the programs of {@link FIXTURE}, an older version, on today's base. */
export const OLDER = "older";

/** As `images/build.ts` makes today's, but that what the older version compiled is kept nowhere. */
export function writeOlderImages(archive: string): void {
  const base = layer(makeBase().members, "node and its libraries", false);
  const { NODE_OPTIONS, MALLOC_ARENA_MAX } = ENVIRONMENT;
  const images = [
    { name: "driver", command: "dracpu" },
    { name: "nri-agent", command: "dracpu-agent" },
  ].map(({ name, command }) => {
    const path = `opt/dracpu/${command}.mjs`;
    const bundle = brotliDecompressSync(readFileSync(join(FIXTURE, `${command}.mjs.br`))).toString();
    const data = Buffer.from(bundle.replace(/^#!.*/, `#!/${NODE_PATH}`));
    const program = [
      { name: path, mode: 0o755, type: "0", data },
      { name: `usr/bin/${command}`, mode: 0o777, type: "2", link: `/${path}` },
    ] as const;
    return {
      reference: `${REPOSITORY}/${name}:${OLDER}`,
      architecture: process.arch === "arm64" ? "arm64" : "amd64",
      created: "1970-01-01T00:00:00Z",
      layers: [base, layer(program, command, false)],
      config: {
        Entrypoint: [`/usr/bin/${command}`],
        Cmd: ["run"],
        Env: ["PATH=/usr/bin", `NODE_OPTIONS=${NODE_OPTIONS}`, `MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX}`],
        User: "0:0",
        WorkingDir: "/",
        Labels: {},
      },
    } as const;
  });
  writeImages(archive, images);
}
