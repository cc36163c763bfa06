import { cpus } from "node:os";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { allocate, DEFAULT_POLICY, type Policy } from "../../driver/src/allocator/allocate.ts";
import type { Machine } from "../../driver/src/topology/machine.ts";
import { fragmented, ring, uniform } from "./fixtures.ts";

/** Budget in microseconds a call. */
const BUDGET = (size: number): number => (size <= 512 ? 2000 : 10_000);

const MACHINES: Readonly<Record<string, Machine>> = {
  "2 NUMA": uniform({ sockets: 2, numaNodes: 1, l3s: 1, cores: 4, threads: 2 }),
  "2 NUMA, 8 L3": uniform({ sockets: 2, numaNodes: 1, l3s: 4, cores: 4, threads: 2 }),
  "8 NUMA, 16 L3": uniform({ sockets: 2, numaNodes: 4, l3s: 2, cores: 4, threads: 2 }),
  "2 NUMA, 16 L3": uniform({ sockets: 2, numaNodes: 1, l3s: 8, cores: 8, threads: 2 }),
  "8 NUMA, 64 L3": uniform({ sockets: 2, numaNodes: 4, l3s: 8, cores: 4, threads: 2 }),
  "1 NUMA, no second L3": uniform({ sockets: 1, numaNodes: 1, l3s: 1, cores: 256, threads: 2 }),
  "32 NUMA": uniform({ sockets: 4, numaNodes: 8, l3s: 1, cores: 4, threads: 4 }),
  "8 sockets in a ring": uniform({ sockets: 8, numaNodes: 1, l3s: 4, cores: 8, threads: 2, distance: ring(8) }),
  "24 NUMA, 96 L3": uniform({ sockets: 4, numaNodes: 6, l3s: 4, cores: 8, threads: 2 }),
  "4 NUMA, 192 threads in an L3": uniform({ sockets: 4, numaNodes: 1, l3s: 2, cores: 96, threads: 2 }),
};

const POLICIES: Readonly<Record<string, Policy>> = {
  packed: DEFAULT_POLICY,
  "packed, any L3": { ...DEFAULT_POLICY, l3: "any" },
  "packed, whole": { ...DEFAULT_POLICY, cores: "whole" },
  spread: { ...DEFAULT_POLICY, strategy: "spread" },
  distributed: { ...DEFAULT_POLICY, strategy: "distributed" },
};

function perCall(machine: Machine, free: CpuSet, wanted: number, policy: Policy): number {
  const times: number[] = [];
  const end = performance.now() + 40;
  // The first calls compile; what a node feels is the median of the rest.
  for (let call = 0; call < 8 || (performance.now() < end && call < 400); call++) {
    const start = performance.now();
    allocate(machine, free, wanted, policy);
    times.push((performance.now() - start) * 1000);
  }
  const settled = times.slice(Math.floor(times.length / 4)).sort((a, b) => a - b);
  return settled[Math.floor(settled.length / 2)] ?? 0;
}

console.log(`${cpus()[0]?.model ?? "unknown CPU"} × ${cpus().length}, Node ${process.version}; median µs a call`);
console.log(`${"machine".padEnd(38)}${"free".padEnd(12)}${"take".padStart(5)}  ${Object.keys(POLICIES).join(" / ")}`);
let over = 0;
let slowest = 0;
for (const [name, machine] of Object.entries(MACHINES)) {
  const size = machine.online.size;
  for (const [state, free] of [
    ["all", machine.online],
    ["fragmented", fragmented(machine)],
  ] as const) {
    for (const wanted of [1, 4, Math.floor(free.size / 4) * 2]) {
      const row = Object.values(POLICIES).map((policy) => perCall(machine, free, wanted, policy));
      const late = row.filter((time) => time > BUDGET(size)).length;
      over += late;
      if (size <= 512) slowest = Math.max(slowest, ...row);
      const label = `${size} CPUs, ${name}`.padEnd(38);
      const figures = row.map((time) => Math.round(time)).join(" / ");
      console.log(
        `${label}${state.padEnd(12)}${String(wanted).padStart(5)}  ${figures}${late > 0 ? "  OVER BUDGET" : ""}`,
      );
    }
  }
}
console.log(`slowest up to 512 CPUs: ${Math.round(slowest)} µs; budget 2000 µs, 10000 µs beyond; ${over} over`);
process.exitCode = over > 0 ? 1 : 0;
