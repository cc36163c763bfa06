import { printCall } from "@dracpu/shared-proto/client/call.ts";
import { SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { printState } from "../cli/state.ts";
import { isJson, settingsOf, type Command } from "./argv.ts";

export const state: Command = async (argv) => {
  console.log(await printState(settingsOf(argv).inspectSocket, isJson(argv) ? "json" : "table"));
  return 0;
};

export const call: Command = async (argv) => {
  const { inspectSocket, agentSocket } = settingsOf(argv);
  await printCall({ Inspect: inspectSocket, Control: agentSocket }, argv, SettingsFault);
  return 0;
};
