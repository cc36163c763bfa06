import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { MachinePort } from "../enforce/ports.ts";
import { MemoryNodes } from "./memorynodes.ts";

/** The machine as its sysfs tells it (Documentation/admin-guide/cputopology.rst). */
export class SysfsMachine implements MachinePort {
  readonly #file: string;
  readonly #onUnread: (why: string) => void;
  #said = "";
  readonly #memory: MemoryNodes | undefined;

  /**
   * @param root where the machine's sysfs is mounted, such as `/sys`.
   * @param pinMemory claims' containers are kept to the memory of their own NUMA nodes.
   * @param onUnread told what cannot be read or understood and why, once until that changes.
   */
  constructor(root: string, pinMemory: boolean, onUnread: (why: string) => void) {
    this.#file = join(root, "devices/system/cpu/online");
    this.#onUnread = onUnread;
    this.#memory = pinMemory
      ? new MemoryNodes(root, (why) =>
          onUnread(`claims' containers are kept to the memory nodes that were known before, where any were: ${why}`),
        )
      : undefined;
  }

  memoryNodes(cpus: CpuSet): string {
    return this.#memory?.of(cpus) ?? "";
  }

  /** Asked each second, so the memory's nodes are read here, too. */
  online(): CpuSet | undefined {
    this.#memory?.read();
    try {
      const cpus = CpuSet.parse(readFileSync(this.#file, "utf8"));
      this.#say(cpus.isEmpty ? `${this.#file} names no CPU` : "");
      return cpus.isEmpty ? undefined : cpus;
    } catch (cause) {
      // Node's own words name the file.
      const { code, message } = cause as NodeJS.ErrnoException;
      this.#say(code === undefined ? `${this.#file}: ${message}` : message);
      return undefined;
    }
  }

  #say(why: string): void {
    if (why !== "" && why !== this.#said) this.#onUnread(why);
    this.#said = why;
  }
}
