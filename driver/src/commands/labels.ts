import { LabelsFile, type KnownLabels } from "@dracpu/shared-proto/disk/labelsfile.ts";
import { createLog, type LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import { resolveSettings, SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { privateDirectory } from "@dracpu/shared-proto/socket/listen.ts";
import { ApiServer } from "../apiserver/apiserver.ts";
import { ApiHttp } from "../apiserver/http.ts";
import { nodeLabels } from "../apiserver/nodelabels.ts";
import { DRIVER_SETTINGS, driverSettings, type DriverSettings } from "../config/settings.ts";
import { textOf, type Command } from "./argv.ts";

const ENDS = ["SIGTERM", "SIGINT"] as const;
/** A pod's first step may come before its network. */
const INSIST_MS = 10_000;

export interface Asking {
  /** Where they are remembered for a start without the API server. */
  readonly dir: string;
  readonly insistMs: number;
  /** Exit status where a signal ends it. */
  readonly endsWith: number;
}

/** Nothing has begun that a signal would have to end, and the first process of a container has no end by default. */
export async function labelsHere(
  settings: DriverSettings,
  keys: readonly string[],
  log: LogWriter,
  asking: Asking = { dir: settings.stateDir, insistMs: 0, endsWith: 0 },
): Promise<KnownLabels> {
  const end = (): never => process.exit(asking.endsWith);
  for (const signal of ENDS) process.once(signal, end);
  try {
    privateDirectory(asking.dir);
    const api = new ApiServer(new ApiHttp(settings.kubeconfig), log);
    return await nodeLabels(api, new LabelsFile(asking.dir), settings.nodeName, keys, log, asking.insistMs);
  } finally {
    for (const signal of ENDS) process.off(signal, end);
  }
}

/** For the agent, which may not ask the API server: labels that its configuration speaks of, where it reads them. Ends when they are there. */
export const keepLabels: Command = async (argv) => {
  const dir = textOf(argv, "to", "");
  const keys = [argv["label"] ?? []].flat().map(String);
  if (dir === "" || keys.length === 0)
    throw new SettingsFault(
      "Name the agent's state directory with --to, and with --label each label that its settings go by.",
    );
  const settings = driverSettings(resolveSettings(DRIVER_SETTINGS, argv, process.env));
  const log = createLog({ level: settings.logLevel, program: "dracpu" });
  // To a kubelet 0 would mean that the labels are there.
  const labels = await labelsHere(settings, keys, log, { dir, insistMs: INSIST_MS, endsWith: 143 });
  const file = new LabelsFile(dir);
  const isKept = JSON.stringify(file.lastSeen()) === JSON.stringify(labels);
  if (isKept) log.info("the agent goes by these labels of this node", { labels, file: file.path });
  else log.error("this node's labels could not be kept where the agent reads them", { labels, file: file.path });
  await log.flush(500);
  return isKept ? 0 : 1;
};
