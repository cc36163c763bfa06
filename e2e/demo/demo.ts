import { join } from "node:path";
import { styleText } from "node:util";
import { hideBin } from "yargs/helpers";
import yargs from "yargs";
import { EmbeddedNode } from "../kit/embedded/node.ts";
import { CHOICES, machineNamed } from "./machines.ts";
import { live } from "./live.ts";
import { play } from "./scenario.ts";
import { Stage } from "./stage.ts";

// A node on any Linux machine, without root: both real programs, and everything they talk to played by this process.
const ROOT = join(import.meta.dirname, "..", "..");
const argv = await yargs(hideBin(process.argv))
  .scriptName("npm run demo --")
  .usage("$0 [--once] [--machine NAME|here]")
  .options({
    once: { type: "boolean", default: false, describe: "play the scenario, check it, and end: 0 where all went well" },
    port: { type: "number", describe: "of the page; a free one by default" },
    machine: { choices: CHOICES, default: "usual", describe: "which machine the node has" },
  })
  .strict()
  .parse();

const { text, online } = machineNamed(argv.machine);
const main = (name: string): string[] => [process.execPath, join(ROOT, name, "src", "main.ts")];
const node = new EmbeddedNode({
  machine: text,
  online,
  driver: main("driver"),
  agent: main("nri-agent"),
  ...(argv.port === undefined ? {} : { pagePort: argv.port }),
});
const stage = new Stage();
const asked = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => asked.abort());

let status = 1;
try {
  console.log(styleText("bold", `A node of ${online.size} CPUs (${argv.machine}) in ${node.dir}`));
  await node.start();
  const draw = (): Promise<string> => node.ask(main("driver"), ["map"]);
  const well = await Promise.race([play({ node, stage, draw }), stopped(asked.signal)]);
  if (well === undefined) console.log("\nstopped");
  else if (!argv.once && well) await live(node, { draw, program: main("driver"), signal: asked.signal });
  else console.log(well ? "\nall as promised" : `\n${stage.failures} of the checks failed; logs are in ${node.dir}`);
  status = well === false ? 1 : 0;
} finally {
  await node.end(status === 0);
}
process.exit(status);

function stopped(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });
}
