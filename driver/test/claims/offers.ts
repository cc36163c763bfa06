import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { DEFAULT_POLICY } from "../../src/allocator/allocate.ts";
import type { Offer } from "../../src/claims/decide.ts";
import { SysfsOverlay } from "../../src/sysfs/tree.ts";
import { readMachine } from "../../src/topology/read.ts";
import { twoSockets } from "../topology/machines.ts";

/** Two sockets of four cores with two threads (1 and 9 are siblings); CPU 0 is reserved, CPU 8 kept for the shared pool. */
export function offerOf(more: Partial<Offer> = {}, online = "0-15"): Offer {
  const grouped = new Map([
    ["cpudevnuma000", CpuSet.parse("1-3,9-11")],
    ["cpudevnuma001", CpuSet.parse("4-7,12-15")],
  ]);
  const single = new Map(
    [...CpuSet.union(grouped.values())].map((cpu) => [`cpudev${String(cpu).padStart(3, "0")}`, CpuSet.of(cpu)]),
  );
  return {
    driver: "dra.cpu",
    pool: "n",
    machine: readMachine(SysfsOverlay.parse(twoSockets({ online }), undefined)),
    candidates: new Map([...grouped, ...single]),
    offered: [...grouped.keys()],
    defaults: DEFAULT_POLICY,
    reserved: CpuSet.of(0),
    keepShared: CpuSet.of(8),
    ...more,
  };
}
