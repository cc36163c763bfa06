import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { obeyLogLevel } from "@dracpu/shared-proto/lifecycle/firstprocess.ts";
import { runProgram } from "@dracpu/shared-proto/lifecycle/program.ts";
import { createLog, type LogWriter } from "@dracpu/shared-proto/observe/log.ts";
import { labelsSpokenOf, resolveSettings, type Labels } from "@dracpu/shared-proto/settings/settings.ts";
import { privateDirectory } from "@dracpu/shared-proto/socket/listen.ts";
import { ApiServer } from "../apiserver/apiserver.ts";
import { ApiHttp } from "../apiserver/http.ts";
import { nodeLabels } from "../apiserver/nodelabels.ts";
import { startDriver } from "../compose.ts";
import { DRIVER_SETTINGS, driverSettings, type DriverSettings } from "../config/settings.ts";
import { LabelsFile } from "../disk/labelsfile.ts";
import type { Command } from "./argv.ts";

const ENDS = ["SIGTERM", "SIGINT"] as const;

export const run: Command = async (argv) => {
  // What holds on every node, and a check of the rest: enough to log, and to find the node's labels.
  const everywhere = driverSettings(resolveSettings(DRIVER_SETTINGS, argv, process.env));
  const log = createLog({ level: everywhere.logLevel, program: "dracpu" });
  const spokenOf = labelsSpokenOf(DRIVER_SETTINGS, argv, process.env);
  const labels = spokenOf.length === 0 ? {} : await labelsHere(everywhere, spokenOf, log);
  const values = resolveSettings(DRIVER_SETTINGS, argv, process.env, labels);
  const settings = driverSettings(values);
  log.level = settings.logLevel;
  log.info("dracpu starts", { version: VERSION, node: process.version, pid: process.pid });
  log.info("configuration in force", {
    configuration: { ...values, nodeName: settings.nodeName, keepShared: settings.keepShared },
  });
  obeyLogLevel(log, settings.logLevel);
  const status = await runProgram((program) => startDriver(program, settings, log), log);
  await log.flush(500);
  return status;
};

/** Nothing has begun that a signal would have to end, and the first process of a container has no end by default. */
async function labelsHere(settings: DriverSettings, keys: readonly string[], log: LogWriter): Promise<Labels> {
  const end = (): never => process.exit(0);
  for (const signal of ENDS) process.once(signal, end);
  try {
    privateDirectory(settings.stateDir);
    const api = new ApiServer(new ApiHttp(settings.kubeconfig), log);
    return await nodeLabels(api, new LabelsFile(settings.stateDir), settings.nodeName, keys, log);
  } finally {
    for (const signal of ENDS) process.off(signal, end);
  }
}
