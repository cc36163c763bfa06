import { callMethod, findMethod, methodNames } from "@dracpu/shared-proto/client/call.ts";
import { SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { printState } from "../cli/state.ts";
import { isJson, printJson, settingsOf, type Command } from "./argv.ts";

export const state: Command = async (argv) => {
  console.log(await printState(settingsOf(argv).inspectSocket, isJson(argv) ? "json" : "table"));
  return 0;
};

export const call: Command = async (argv) => {
  const settings = settingsOf(argv);
  const name = String(argv["method"]);
  const found = findMethod(name);
  if (found === undefined) throw new SettingsFault(`There is no method ${name}; there are ${methodNames().join(", ")}`);
  const sockets = { Inspect: settings.inspectSocket, Control: settings.agentSocket };
  for await (const answer of callMethod(sockets, found, typeof argv["json"] === "string" ? argv["json"] : ""))
    printJson(answer);
  return 0;
};
