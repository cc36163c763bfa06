import { createLog, type LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import { LabelsFile } from "@dracpu/shared-proto/disk/labelsfile.ts";
import { labelsSpokenOf, resolveSettings, SettingsFault, type Labels } from "@dracpu/shared-proto/settings/settings.ts";
import { privateDirectory } from "@dracpu/shared-proto/socket/listen.ts";
import { ApiServer } from "../apiserver/apiserver.ts";
import { ApiHttp } from "../apiserver/http.ts";
import { nodeLabels } from "../apiserver/nodelabels.ts";
import { DRIVER_SETTINGS, driverSettings, type DriverSettings } from "../config/settings.ts";
import { textOf, type Command } from "./argv.ts";

const ENDS = ["SIGTERM", "SIGINT"] as const;

/**
 * Nothing has begun that a signal would have to end, and the first process of a container has no end by default.
 *
 * @param dir where they are remembered for a start without the API server.
 */
export async function labelsHere(
  settings: DriverSettings,
  keys: readonly string[],
  log: LogWriter,
  dir: string = settings.stateDir,
): Promise<Labels> {
  const end = (): never => process.exit(0);
  for (const signal of ENDS) process.once(signal, end);
  try {
    privateDirectory(dir);
    const api = new ApiServer(new ApiHttp(settings.kubeconfig), log);
    return await nodeLabels(api, new LabelsFile(dir), settings.nodeName, keys, log);
  } finally {
    for (const signal of ENDS) process.off(signal, end);
  }
}

/** For the agent, which may not ask the API server: labels that the configuration speaks of, where the agent reads them. Ends when they are there. */
export const keepLabels: Command = async (argv) => {
  const dir = textOf(argv, "to", "");
  if (dir === "") throw new SettingsFault("Name the agent's state directory with --to.");
  const settings = driverSettings(resolveSettings(DRIVER_SETTINGS, argv, process.env));
  const log = createLog({ level: settings.logLevel, program: "dracpu" });
  const labels = await labelsHere(settings, labelsSpokenOf(DRIVER_SETTINGS, argv, process.env), log, dir);
  const file = new LabelsFile(dir);
  const isKept = JSON.stringify(file.lastSeen()) === JSON.stringify(labels);
  if (isKept) log.info("this node's labels are where the agent reads them", { labels, file: file.path });
  else log.error("this node's labels could not be kept where the agent reads them", { labels, file: file.path });
  await log.flush(500);
  return isKept ? 0 : 1;
};
