import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { obeyLogLevel } from "@dracpu/shared-proto/lifecycle/firstprocess.ts";
import { runProgram } from "@dracpu/shared-proto/lifecycle/program.ts";
import { createLog } from "@dracpu/shared-proto/observe/log.ts";
import { configIn, labelsSpokenOf, resolveSettings } from "@dracpu/shared-proto/settings/settings.ts";
import { alone } from "@dracpu/shared-proto/socket/alone.ts";
import { DRIVER_SETTINGS, driverSettings } from "../config/settings.ts";
import type { Command } from "./argv.ts";

export const run: Command = async (argv) => {
  // What holds on every node, and a check of the rest: enough to log, and to find the node's labels.
  const file = configIn(DRIVER_SETTINGS, argv, process.env);
  const everywhere = driverSettings(resolveSettings(DRIVER_SETTINGS, argv, process.env, {}, file));
  const log = createLog({ level: everywhere.logLevel, program: "dracpu" });
  const spokenOf = labelsSpokenOf(DRIVER_SETTINGS, argv, process.env, file);
  const labels = spokenOf.length === 0 ? {} : await (await import("./labels.ts")).labelsHere(everywhere, spokenOf, log);
  const values = resolveSettings(DRIVER_SETTINGS, argv, process.env, labels, file);
  const settings = driverSettings(values);
  log.level = settings.logLevel;
  log.info("dracpu starts", { version: VERSION, node: process.version, pid: process.pid });
  log.info("configuration in force", {
    configuration: { ...values, nodeName: settings.nodeName, keepShared: settings.keepShared },
  });
  obeyLogLevel(log, settings.logLevel);
  const status = await runProgram(async (program) => {
    const parts = await alone(program, ["driver", "dracpu"], settings.stateDir, log, () => import("../compose.ts"));
    await parts?.startDriver(program, settings, log);
  }, log);
  await log.flush(500);
  return status;
};
