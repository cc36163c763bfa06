import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

/**
 * The NUMA nodes that have memory, with their CPUs (Documentation/ABI/stable/sysfs-devices-node), read once: hooks read no files.
 *
 * @param root where the machine's sysfs is mounted, such as `/sys`.
 * @returns for CPUs the nodes of their own memory as a kernel list, such as `0-1`; "" where a CPU has none, or nothing is known.
 */
export function memoryNodesOf(root: string): (cpus: CpuSet) => string {
  const at = join(root, "devices/system/node");
  const nodes: { readonly id: number; readonly cpus: CpuSet }[] = [];
  try {
    for (const id of CpuSet.parse(readFileSync(join(at, "has_memory"), "utf8")))
      nodes.push({ id, cpus: CpuSet.parse(readFileSync(join(at, `node${id}`, "cpulist"), "utf8")) });
  } catch {
    return () => "";
  }
  return (cpus) => {
    const own = nodes.filter((node) => node.cpus.overlaps(cpus));
    const covered = CpuSet.union(own.map((node) => node.cpus));
    return cpus.minus(covered).isEmpty ? CpuSet.from(own.map(({ id }) => id)).toString() : "";
  };
}
