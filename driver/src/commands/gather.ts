import { createWriteStream, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { toJson } from "@bufbuild/protobuf";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { StateSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { DOCTOR_LAYOUT } from "../cli/doctor.ts";
import { printTopology } from "../cli/topology.ts";
import type { DriverSettings } from "../config/settings.ts";
import { CdiDirectory } from "../disk/cdidirectory.ts";
import { CheckpointFile } from "../disk/checkpointfile.ts";
import { cdiFileName } from "../cdi/spec.ts";
import { writeArchive, type Piece } from "../host/archive.ts";
import { AgentInspect } from "../inspect/agentinspect.ts";
import { sysfsOf } from "../sysfs/source.ts";
import { settingsOf, textOf, valuesOf, type Command } from "./argv.ts";
import { examine } from "./doctor.ts";
import { look } from "./look.ts";

const MAX_BYTES = 16 << 20;

/** One archive for a bug report, in a file or, for `--file -`, on standard output. What goes in is named one by one: no environment of pods, no credentials, nobody else's files. */
export const gather: Command = async (argv) => {
  const settings = settingsOf(argv);
  const time = new Date();
  const path = textOf(argv, "file", `dracpu-${settings.nodeName}-${time.toISOString().replaceAll(/[:.]/g, "-")}.tgz`);
  const pieces: Piece[] = [];
  const missing: { name: string; why: string }[] = [];
  const add = async (name: string, what: string, read: () => Promise<string> | string): Promise<void> => {
    try {
      const text = await read();
      if (text.length > MAX_BYTES) throw new Error(`it is longer than ${MAX_BYTES} bytes`);
      pieces.push({ name, what, text });
    } catch (cause) {
      missing.push({ name, why: (cause as Error).message });
    }
  };
  const seen = await look(settings);
  await add("picture.json", "the node as `dracpu map --from` draws it, with what happened lately", () => text(seen));
  await add("doctor.json", "every comparison", async () =>
    text({ layout: DOCTOR_LAYOUT, checks: await examine(settings, argv, seen.picture) }),
  );
  await add("state.json", "the agent's own state", () => agentState(settings));
  await add("topology.yaml", "the machine as an overlay for --sysfs-overlay", () =>
    printTopology(sysfsOf(settings), "overlay", settings.sysfsRoot),
  );
  await add("configuration.json", "settings of this command line and its file", () => text(valuesOf(argv)));
  await add("checkpoint.json", "the driver's checkpoint", () =>
    readFileSync(new CheckpointFile(settings.stateDir).path, "utf8"),
  );
  for (const uid of await cdiUids(settings.cdiDir)) {
    const name = cdiFileName(uid);
    await add(`cdi/${name}`, "the claim's CDI file", () => readFileSync(join(settings.cdiDir, name), "utf8"));
  }
  const out = path === "-" ? process.stdout : createWriteStream(path, { mode: 0o600 });
  await writeArchive(out, { version: VERSION, node: settings.nodeName, time: time.toISOString() }, pieces, missing);
  if (path !== "-") console.log(path);
  for (const { name, why } of missing) console.error(`left out: ${name}: ${why}`);
  return 0;
};

function text(value: unknown): string {
  return `${JSON.stringify(value, undefined, 1)}\n`;
}

async function agentState(settings: DriverSettings): Promise<string> {
  const { state, why } = await new AgentInspect(settings.inspectSocket).look();
  if (state === undefined) throw new Error(why);
  return text(toJson(StateSchema, state));
}

async function cdiUids(dir: string): Promise<readonly string[]> {
  try {
    readdirSync(dir);
    return await new CdiDirectory(dir).named();
  } catch {
    return [];
  }
}
