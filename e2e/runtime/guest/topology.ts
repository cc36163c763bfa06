import { execFileSync } from "node:child_process";
import { againstHwloc, againstLscpu, LSCPU_COLUMNS, type Ours } from "../../kit/topology/compare.ts";
import { same } from "./lab.ts";

const run = (program: string, ...args: string[]): string =>
  execFileSync(program, args, { encoding: "utf8", maxBuffer: 16 << 20 });

/** The guest as it was made (2 sockets, 4 dies with an L3 each, SMT 2), and as lscpu and hwloc see it. */
export function sameTopology(): void {
  const ours = JSON.parse(run("node", "/job/dracpu.cjs", "topology", "-o", "json")) as Ours;
  const l3s = ours.caches.filter((cache) => cache.level === 3).map((cache) => cache.cpus);
  same("CPUs", ours.online, "0-15");
  same("sockets", ours.sockets.map((one) => one.cpus).join(" | "), "0-7 | 8-15");
  same("NUMA nodes", ours.numaNodes.map((one) => one.cpus).join(" | "), "0-7 | 8-15");
  same("L3 caches", l3s.join(" | "), "0-3 | 4-7 | 8-11 | 12-15");
  same("cores", ours.cores.map((one) => one.cpus).join(" "), "0-1 2-3 4-5 6-7 8-9 10-11 12-13 14-15");
  const found = [
    ...againstLscpu(ours, run("lscpu", `-p=${LSCPU_COLUMNS}`)),
    ...againstHwloc(ours, run("lstopo-no-graphics", "--of", "xml")),
  ];
  if (found.length > 0) throw new Error(found.join("; "));
}
