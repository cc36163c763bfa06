import { printTopology, type TopologyOutput } from "../cli/topology.ts";
import { sysfsOf } from "../sysfs/source.ts";
import { settingsOf, type Command } from "./argv.ts";

export const topology: Command = (argv) => {
  const settings = settingsOf(argv);
  // An overlay alone is a whole machine: nothing of this one shines through, unlike under `run`.
  const alone = settings.sysfsOverlay !== "" && argv["sysfs-root"] === undefined;
  const source = settings.sysfsOverlay === "" ? settings.sysfsRoot : settings.sysfsOverlay;
  console.log(printTopology(sysfsOf(settings, alone), argv["output"] as TopologyOutput, source));
  return Promise.resolve(0);
};
