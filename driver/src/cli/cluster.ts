import type { HolderView, NodeView } from "../cluster/cluster.ts";
import { columns } from "./table.ts";

/** Change when a field changes its meaning or goes; new fields do not change them. */
export const NODES_LAYOUT = "nodes.dra.cpu/v1";
export const WHO_LAYOUT = "who.dra.cpu/v1";

export function printNodes(nodes: readonly NodeView[], byDevice: boolean): string {
  if (nodes.length === 0) return "no node publishes CPUs";
  const sum = (of: (node: NodeView) => number): string => String(nodes.reduce((all, one) => all + of(one), 0));
  if (byDevice)
    return columns([
      ["NODE", "DEVICE", "NUMA", "L3", "CPUS", "TAKEN", "FREE"],
      ...nodes.flatMap((node) =>
        node.devices.map((one) => [
          node.node,
          one.name,
          one.numa,
          one.l3,
          String(one.capacity),
          String(one.taken),
          String(one.capacity - one.taken),
        ]),
      ),
    ]).join("\n");
  return columns([
    ["NODE", "CPUS", "TAKEN", "FREE", "LARGEST", "FRAGMENTED", "CLAIMS", "TAINTS"],
    ...nodes.map((one) => [
      one.node,
      String(one.capacity),
      String(one.taken),
      String(one.free),
      String(one.largest),
      one.free === 0 ? "" : `${Math.round((1 - one.largest / one.free) * 100)} %`,
      String(one.claims),
      one.taints.join(", "),
    ]),
    ...(nodes.length === 1
      ? []
      : [
          [
            "all",
            sum((one) => one.capacity),
            sum((one) => one.taken),
            sum((one) => one.free),
            String(Math.max(...nodes.map((one) => one.largest))),
            "",
            sum((one) => one.claims),
            "",
          ],
        ]),
  ]).join("\n");
}

export function printWho(holders: readonly HolderView[]): string {
  if (holders.length === 0) return "no claim holds CPUs";
  return columns([
    ["NODE", "CLAIM", "CPUS", "LIST", "DEVICES", "PODS"],
    ...holders.map((one) => [
      one.node,
      `${one.namespace}/${one.claim}`,
      String(one.cpus),
      one.list,
      one.devices.join(", "),
      one.pods.join(", "),
    ]),
  ]).join("\n");
}
