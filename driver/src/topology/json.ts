import type { Machine } from "./machine.ts";

/** Changes when a field changes its meaning or goes; new fields do not change it. */
export const TOPOLOGY_LAYOUT = "topology.dra.cpu/v1";

/** The machine as plain data: CPU sets as kernel lists, unknown ids as -1. */
export function machineJson(machine: Machine): Readonly<Record<string, unknown>> {
  return {
    layout: TOPOLOGY_LAYOUT,
    online: machine.online,
    present: machine.present,
    isolated: machine.isolated,
    nohzFull: machine.nohzFull,
    smt: machine.smt,
    sockets: machine.sockets,
    dies: machine.dies,
    clusters: machine.clusters,
    numaNodes: machine.numaNodes.map((node) => ({
      id: node.id,
      cpus: node.cpus,
      distances: Object.fromEntries(node.distances),
    })),
    caches: machine.caches,
    cores: machine.cores,
    cpus: machine.cpus.map((cpu) => ({
      id: cpu.id,
      core: cpu.core,
      coreID: cpu.coreId,
      socketID: cpu.socket,
      dieID: cpu.die,
      clusterID: cpu.cluster,
      numaNodeID: cpu.numa,
      l3ID: machine.l3s[cpu.l3]?.id ?? -1,
      coreType: cpu.coreType,
    })),
    unknowns: machine.unknowns,
  };
}
