import { createWriteStream } from "node:fs";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { DRIVER_NAME } from "@dracpu/shared-proto/contract/names.ts";
import { DOCTOR_LAYOUT } from "../cli/doctor.ts";
import { holderViews } from "../cluster/cluster.ts";
import { writeArchive, type Piece } from "../host/archive.ts";
import type { PodView } from "./api.ts";
import { checksOf, type PluginCommand } from "./commands.ts";
import { askNode, nodeOf } from "./target.ts";

/**
 * One archive of a node for a bug report, from outside: what the driver shows, and what is left where it does not answer: both programs' logs,
 * slices and claims.
 */
export const gather: PluginCommand = async (reach, argv) => {
  const { node } = await nodeOf(reach, String(argv["target"]));
  const time = new Date().toISOString();
  const named = argv["file"];
  const path = typeof named === "string" ? named : `dracpu-${node}-${time.replaceAll(/[:.]/g, "-")}.tgz`;
  const pieces: Piece[] = [];
  const missing: { name: string; why: string }[] = [];
  const add = async (name: string, what: string, read: () => Promise<unknown>): Promise<void> => {
    try {
      const found = await read();
      pieces.push({ name, what, text: typeof found === "string" ? found : `${JSON.stringify(found, undefined, 1)}\n` });
    } catch (cause) {
      missing.push({ name, why: (cause as Error).message });
    }
  };
  const looked = askNode(reach, node);
  await add("picture.json", "the node as `dracpu map --from` draws it, with what happened lately", () => looked);
  await add("doctor.json", "what driver and agent find wrong", async () => ({
    layout: DOCTOR_LAYOUT,
    node,
    checks: checksOf((await looked).picture.findings),
  }));
  for (const pod of await reach.api.drivers(node, reach.selector))
    for (const container of containersOf(pod))
      for (const previous of [false, true]) {
        const life = previous ? "before its last restart" : "now";
        await add(`logs/${pod.metadata.name}/${container}${previous ? "-previous" : ""}.log`, `its log ${life}`, () =>
          reach.api.log(pod, container, previous),
        );
      }
  await add("slices.json", "what the node offers", async () =>
    (await reach.api.slices()).filter((one) => one.spec.pool.name === node),
  );
  await add("claims.json", "who holds CPUs of the node", async () =>
    holderViews(await reach.api.claims(), DRIVER_NAME).filter((one) => one.node === node),
  );
  await writeArchive(createWriteStream(path, { mode: 0o600 }), { version: VERSION, node, time }, pieces, missing);
  console.log(path);
  for (const { name, why } of missing) console.error(`left out: ${name}: ${why}`);
  return 0;
};

/** In the order in which they start. */
function containersOf({ spec }: PodView): string[] {
  return [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map((one) => one.name);
}
