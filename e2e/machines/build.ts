import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { foldedEntries } from "@dracpu/driver/topology/capture.ts";
import { filesOf, type Layout } from "./layout.ts";

/**
 * Machines with published layouts, generated from their numbers; sources are the makers' data sheets and the trees that hwloc's tests hold. What cannot be
 * told by numbers alone, or was captured, is a file beside this one.
 */
const LAYOUTS: Readonly<Record<string, Layout>> = {
  // Xeon Platinum 8480+, SNC4: 56 cores in four NUMA nodes of a socket, one L3 for the socket, core ids that repeat.
  "xeon-8480-2s-snc4": {
    about: "2x Intel Xeon Platinum 8480+, SNC4, SMT 2",
    sockets: 2,
    numaPerSocket: 4,
    coresPerNuma: 14,
    threads: 2,
    l3: { per: "socket", sizeKiB: 107520 },
    l2KiB: 2048,
    l1dKiB: 48,
    near: 12,
    far: 21,
  },
  // EPYC 7763, NPS4: eight dies of eight cores with an L3 each; two in a NUMA node.
  "epyc-7763-2s-nps4": {
    about: "2x AMD EPYC 7763, NPS4, SMT 2, 16 L3",
    sockets: 2,
    numaPerSocket: 4,
    coresPerNuma: 16,
    threads: 2,
    l3: { per: 8, sizeKiB: 32768 },
    l2KiB: 512,
    l1dKiB: 32,
    near: 12,
    far: 32,
  },
  // Kunpeng 920: ids as PPTT offsets give them (socket 36 first, clusters of four at 138, 654, ...); one L3 a NUMA node.
  "kunpeng-920-2s": {
    about: "2x HiSilicon Kunpeng 920, 64 cores each, clusters of four",
    sockets: 2,
    socketIds: [36, 8484],
    numaPerSocket: 2,
    coresPerNuma: 32,
    threads: 1,
    cluster: { cores: 4, ids: (n) => 138 + 516 * n + 48 * Math.floor(n / 8) },
    coreIds: "unique",
    l3: { per: 32, sizeKiB: 32768, ids: false },
    l2KiB: 512,
    l1dKiB: 64,
    near: 12,
    far: 20,
    arm: true,
  },
  // GB200: two Grace CPUs of 72 cores; 32 further NUMA nodes, for the GPUs' memory and its MIG slices, hold no CPU.
  "grace-gb200-34n": {
    about: "2x NVIDIA Grace (GB200), 34 NUMA nodes, CPUs in two",
    sockets: 2,
    numaPerSocket: 1,
    coresPerNuma: 72,
    threads: 1,
    coreIds: "unique",
    l3: { per: "socket", sizeKiB: 116736, ids: false },
    l2KiB: 1024,
    l1dKiB: 64,
    memoryNodes: 32,
    near: 12,
    far: 40,
    arm: true,
  },
  // POWER9 scale-up: SMT 8, threads of a core have adjacent ids, chip ids with gaps, NUMA node 8 after node 0.
  "power9-2s-smt8": {
    about: "2x IBM POWER9, 12 SMT8 cores each",
    sockets: 2,
    socketIds: [0, 8],
    numaPerSocket: 1,
    numaIds: [0, 8],
    coresPerNuma: 12,
    threads: 8,
    numbering: "adjacent",
    coreIds: "cpu",
    l3: { per: 1, sizeKiB: 10240, ids: false },
    l2KiB: 512,
    l1dKiB: 32,
    near: 20,
    far: 40,
    arm: true,
  },
  // SMT off in the firmware: core ids as APIC ids give them, with gaps.
  "xeon-6230-2s-smt-off": {
    about: "2x Intel Xeon Gold 6230, SMT off",
    sockets: 2,
    numaPerSocket: 1,
    coresPerNuma: 20,
    threads: 1,
    numbering: "interleave",
    coreIds: "gaps",
    l3: { per: "socket", sizeKiB: 28160 },
    l2KiB: 1024,
    l1dKiB: 32,
    near: 12,
    far: 21,
  },
  // 24 CPUs switched off by hand: whole cores, one thread of a core, and the whole of one L3's cores.
  "epyc-7313-2s-offline": {
    about: "2x AMD EPYC 7313, SMT 2, CPUs offline here and there",
    sockets: 2,
    numaPerSocket: 1,
    coresPerNuma: 16,
    threads: 2,
    l3: { per: 4, sizeKiB: 32768 },
    l2KiB: 512,
    l1dKiB: 32,
    near: 12,
    far: 32,
    offline: "3,8-11,17,33-34,40-43,50-61",
  },
  // SMT 4: Knights Landing style, two cores share a level 2 cache and there is no level 3.
  "xeon-phi-smt4": {
    about: "Intel Xeon Phi 7210, 64 cores, SMT 4, no level 3 cache",
    sockets: 1,
    numaPerSocket: 1,
    coresPerNuma: 64,
    threads: 4,
    l2KiB: 1024,
    l2Cores: 2,
    l1dKiB: 32,
    near: 12,
    far: 20,
  },
  // EPYC 9754, NPS4, twice: 128 cores a socket, two L3 for each die of 16.
  "epyc-9754-2s-512": {
    about: "2x AMD EPYC 9754, NPS4, SMT 2: 512 CPUs",
    sockets: 2,
    numaPerSocket: 4,
    coresPerNuma: 32,
    threads: 2,
    l3: { per: 8, sizeKiB: 16384 },
    l2KiB: 1024,
    l1dKiB: 32,
    near: 12,
    far: 32,
  },
  // The largest x86 machines: eight sockets and more behind a node controller, beyond 1,024 CPUs.
  "xeon-16s-1536": {
    about: "16 sockets of 48 cores, SMT 2, SNC2: 1,536 CPUs",
    sockets: 16,
    numaPerSocket: 2,
    coresPerNuma: 24,
    threads: 2,
    l3: { per: "socket", sizeKiB: 99840 },
    l2KiB: 2048,
    l1dKiB: 48,
    near: 12,
    far: 34,
  },
};

/** Names of all machines, generated ones and files. */
export const MACHINES: readonly string[] = [
  ...Object.keys(LAYOUTS),
  ...readdirSync(import.meta.dirname).flatMap((name) => /^(.*)\.yaml$/.exec(name)?.[1] ?? []),
].sort();

/**
 * The overlay of a machine as text; read it with `SysfsOverlay.parse(text, undefined)`.
 *
 * @throws Error for a name that is not in {@link MACHINES}.
 */
export function machine(name: string): string {
  const layout = LAYOUTS[name];
  if (layout === undefined) return readFileSync(join(import.meta.dirname, `${name}.yaml`), "utf8");
  const about = `# Generated from the published layout of ${layout.about} by e2e/machines/build.ts`;
  return [about, ...foldedEntries(filesOf(layout)), ""].join("\n");
}
