import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CpuListError, CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { MachinePort } from "../enforce/ports.ts";

/** The machine as its sysfs tells it (Documentation/admin-guide/cputopology.rst). */
export class SysfsMachine implements MachinePort {
  readonly #file: string;

  /** @param root where the machine's sysfs is mounted, such as `/sys`. */
  constructor(root: string) {
    this.#file = join(root, "devices/system/cpu/online");
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
