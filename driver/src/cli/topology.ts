import { Recording, overlayText } from "../topology/capture.ts";
import type { SysfsTree } from "../topology/files.ts";
import { machineJson } from "../topology/json.ts";
import { readMachine } from "../topology/read.ts";
import { machineTree } from "../topology/tree.ts";

export const TOPOLOGY_OUTPUTS = ["tree", "json", "overlay"] as const;
export type TopologyOutput = (typeof TOPOLOGY_OUTPUTS)[number];

/**
 * The machine for people, for programs, or as a text overlay that gives the same machine again.
 *
 * @param source where the tree comes from, for the overlay's head.
 * @throws TopologyFault
 */
export function printTopology(tree: SysfsTree, output: TopologyOutput, source: string): string {
  const recording = new Recording(tree);
  const machine = readMachine(recording);
  if (output === "tree") return machineTree(machine);
  if (output === "json") return JSON.stringify(machineJson(machine), undefined, 2);
  return overlayText(recording, [`Captured by dracpu topology -o overlay from ${source}.`]).trimEnd();
}
