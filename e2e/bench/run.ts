import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundle } from "../../images/bundle.ts";
import { benchContainers } from "./containers.ts";
import { Figures } from "./figures.ts";
import { benchMachine } from "./machine.ts";
import { benchSockets } from "./sockets.ts";

// Its young heap is large, and it has no compilers and no collectors beside it (package.json): what it does itself would be told as time that the programs take.
// Figures of both programs. `--only sockets|containers`: one part; the second needs root.
const at = process.argv.indexOf("--only");
const only = at < 0 ? "" : (process.argv[at + 1] ?? "");
const root = join(import.meta.dirname, "..", "..");
const dir = mkdtempSync(join(tmpdir(), "bb-"));
const figures = new Figures();
let status = 1;
try {
  figures.machine();
  await benchMachine(figures);
  const bundles = { driver: join(dir, "dracpu.cjs"), agent: join(dir, "dracpu-agent.cjs") };
  await bundle(join(root, "driver/src/main.ts"), bundles.driver);
  await bundle(join(root, "nri-agent/src/main.ts"), bundles.agent);
  if (only !== "containers") await benchSockets(figures, bundles);
  if (only !== "sockets") {
    if (process.getuid?.() === 0) await benchContainers(figures, bundles);
    else figures.title("containers: left out, since containerd and its cgroups need root");
  }
  status = figures.end();
} finally {
  rmSync(dir, { recursive: true });
}
process.exit(status);
