import { foldedEntries, overlayText, Recording } from "@dracpu/driver/topology/capture.ts";
import { readMachine } from "@dracpu/driver/topology/read.ts";
import { SysfsDirectory, SysfsOverlay } from "@dracpu/driver/sysfs/tree.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { machine, MACHINES } from "../machines/build.ts";
import { filesOf } from "../machines/layout.ts";

/** Small enough for a terminal: 2 sockets, 4 NUMA nodes, 8 L3 caches, 32 cores, 64 CPUs. */
const USUAL = {
  about: "two sockets, NPS2, SMT 2, an L3 for four cores",
  sockets: 2,
  numaPerSocket: 2,
  coresPerNuma: 8,
  threads: 2,
  l3: { per: 4, sizeKiB: 32768 },
  l2KiB: 1024,
  l1dKiB: 32,
  near: 12,
  far: 32,
};

export const CHOICES: readonly string[] = ["usual", "here", ...MACHINES];

/** @param name one of {@link CHOICES}; `here` is the machine that this runs on. */
export function machineNamed(name: string): { readonly text: string; readonly online: CpuSet } {
  const text = textOf(name);
  return { text, online: readMachine(SysfsOverlay.parse(text, undefined)).online };
}

function textOf(name: string): string {
  if (name === "usual") return [...foldedEntries(filesOf(USUAL)), ""].join("\n");
  if (name !== "here") return machine(name);
  const recording = new Recording(new SysfsDirectory("/sys"));
  readMachine(recording);
  return overlayText(recording, ["This machine."]);
}
