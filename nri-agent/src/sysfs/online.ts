import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CpuListError, CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { MachinePort } from "../enforce/ports.ts";
import { memoryNodesOf } from "./memorynodes.ts";

/** The machine as its sysfs tells it (Documentation/admin-guide/cputopology.rst). */
export class SysfsMachine implements MachinePort {
  readonly #file: string;
  readonly memoryNodes: MachinePort["memoryNodes"];

  /**
   * @param root where the machine's sysfs is mounted, such as `/sys`.
   * @param pinMemory claims' containers are kept to the memory of their own NUMA nodes.
   */
  constructor(root: string, pinMemory: boolean) {
    this.#file = join(root, "devices/system/cpu/online");
    this.memoryNodes = pinMemory ? memoryNodesOf(root) : () => "";
  }

  online(): CpuSet | undefined {
    try {
      const cpus = CpuSet.parse(readFileSync(this.#file, "utf8"));
      return cpus.isEmpty ? undefined : cpus;
    } catch (cause) {
      if (cause instanceof CpuListError || (cause as NodeJS.ErrnoException).code !== undefined) return undefined;
      throw cause;
    }
  }
}
