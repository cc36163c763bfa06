import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { runProgram } from "@dracpu/shared-proto/lifecycle/program.ts";
import { createLog } from "@dracpu/shared-proto/observe/log.ts";
import { resolveSettings } from "@dracpu/shared-proto/settings/settings.ts";
import { startDriver } from "../compose.ts";
import { DRIVER_SETTINGS, driverSettings } from "../config/settings.ts";
import type { Command } from "./argv.ts";

export const run: Command = async (argv) => {
  const values = resolveSettings(DRIVER_SETTINGS, argv, process.env);
  const settings = driverSettings(values);
  const log = createLog({ level: settings.logLevel, program: "dracpu" });
  log.info("dracpu starts", { version: VERSION, node: process.version, pid: process.pid });
  log.info("configuration in force", {
    configuration: { ...values, nodeName: settings.nodeName, keepShared: settings.keepShared },
  });
  const status = await runProgram((program) => startDriver(program, settings, log), log);
  await log.flush(500);
  return status;
};
