import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { SysfsTree } from "../topology/read.ts";
import type { Attribute } from "./device.ts";

const DEVICES = "/sys/devices";
/** As resource.k8s.io's standard attribute spells it; five-digit domains (volume management devices) are below a root of their own. */
const ROOT = /^pci([0-9a-f]{4}:[0-9a-f]{2})$/;

export interface PcieRoot {
  /** `pci0000:00` */
  readonly name: string;
  /** CPUs that the firmware calls near. */
  readonly cpus: CpuSet;
}

export interface PcieRoots {
  readonly roots: readonly PcieRoot[];
  /** Roots that cannot be placed, one sentence each. They are in no device. */
  readonly problems: readonly string[];
}

/** PCIe root complexes by name, from `pci_bus/…/cpulistaffinity` (Documentation/ABI/testing/sysfs-bus-pci). */
export function readPcieRoots(tree: SysfsTree): PcieRoots {
  const roots: PcieRoot[] = [];
  const problems: string[] = [];
  for (const name of [
    ...tree.list(DEVICES, (errno) => problems.push(`${tree.whereIs(DEVICES)} cannot be read (${errno})`)),
  ].sort()) {
    const bus = ROOT.exec(name)?.[1];
    if (bus === undefined) continue;
    const path = `${DEVICES}/${name}/pci_bus/${bus}/cpulistaffinity`;
    let why = "does not exist";
    const text = tree.read(path, (errno) => (why = `cannot be read (${errno})`));
    const cpus = text === undefined ? undefined : parsed(text);
    if (cpus === undefined || cpus.isEmpty) {
      const what = text === undefined ? why : `says ${JSON.stringify(text.trim().slice(0, 40))}`;
      problems.push(`PCIe root ${name} is in no device: ${tree.whereIs(path)} ${what}, and has to be a list of CPUs`);
    } else roots.push({ name, cpus });
  }
  if (roots.length === 0) problems.push("no PCIe root was found, so no device has the attribute pcieRoot");
  return { roots, problems };
}

/** One root is a string, which matches other drivers' devices on every release; more are a list, where lists are wanted. */
export function pcieRootOf(roots: readonly PcieRoot[], cpus: CpuSet, lists: boolean): Attribute | undefined {
  const names = roots.filter((root) => root.cpus.overlaps(cpus)).map((root) => root.name);
  const [first] = names;
  if (first === undefined) return undefined;
  if (names.length === 1) return { string: first };
  return lists ? { strings: names } : undefined;
}

function parsed(text: string): CpuSet | undefined {
  try {
    return CpuSet.parse(text);
  } catch {
    return undefined;
  }
}
