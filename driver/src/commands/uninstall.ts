import { runProgram } from "@dracpu/shared-proto/lifecycle/program.ts";
import { createLog } from "@dracpu/shared-proto/observe/log.ts";
import { claimsInUse, nodesLeft, startCleaning } from "../compose/uninstall.ts";
import { waysOn } from "../uninstall/inuse.ts";
import { settingsOf, textOf, type Command } from "./argv.ts";

export const uninstall: Command = async (argv) => {
  const settings = settingsOf(argv);
  const log = createLog({ level: settings.logLevel, program: "dracpu" });
  if (argv["step"] === "clean") {
    const status = await runProgram((program) => startCleaning(program, settings, log), log);
    await log.flush(500);
    return status;
  }
  const [namespace = "", name = ""] = textOf(argv, "daemonset", "").split("/");
  if (argv["step"] === "wait") {
    const left = await nodesLeft(settings, { namespace, name }, Number(argv["timeout"]) * 1000, log);
    console.log(left === "" ? "every node is clean" : left);
    return left === "" ? 0 : 1;
  }
  const found = await claimsInUse(settings, name === "" ? undefined : { namespace, name }, log);
  for (const line of found) console.log(line);
  if (found.length === 0) console.log("no claim has CPUs of this driver");
  else if (argv["force"] !== true) {
    for (const way of waysOn(textOf(argv, "release", ""))) console.log(way);
    return 1;
  }
  return 0;
};
