import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

/** The NUMA nodes that have memory, with their CPUs (Documentation/ABI/stable/sysfs-devices-node). Never read in a hook. */
export class MemoryNodes {
  readonly #at: string;
  readonly #onUnread: (why: string) => void;
  #nodes: readonly { readonly id: number; readonly cpus: CpuSet }[] = [];
  #said = "";

  /**
   * @param root where the machine's sysfs is mounted, such as `/sys`.
   * @param onUnread told what cannot be read or understood and why, once until that changes. A kernel without NUMA has no such file, and is not told of.
   */
  constructor(root: string, onUnread: (why: string) => void) {
    this.#at = join(root, "devices/system/node");
    this.#onUnread = onUnread;
    this.read();
  }

  /**
   * Again and again: the kernel lists only CPUs that are online (drivers/base/node.c), so those that come later are added, and one that goes stays its node's. A node that comes or
   * goes fails reads for a moment; what was known stays.
   */
  read(): void {
    const before = new Map(this.#nodes.map((node) => [node.id, node.cpus]));
    try {
      this.#nodes = [...CpuSet.parse(readFileSync(join(this.#at, "has_memory"), "utf8"))].map((id) => {
        const online = CpuSet.parse(readFileSync(join(this.#at, `node${id}`, "cpulist"), "utf8"));
        return { id, cpus: online.union(before.get(id) ?? CpuSet.empty) };
      });
      this.#said = "";
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      if (code === "ENOENT" && !message.includes("cpulist")) return;
      const why = code === undefined ? `${this.#at}: ${message}` : message;
      if (why !== this.#said) this.#onUnread(why);
      this.#said = why;
    }
  }

  /** @returns for CPUs the nodes of their own memory as a kernel list, such as `0-1`; "" where a CPU has none, or nothing is known. */
  of(cpus: CpuSet): string {
    const own = this.#nodes.filter((node) => node.cpus.overlaps(cpus));
    const covered = CpuSet.union(own.map((node) => node.cpus));
    return cpus.minus(covered).isEmpty ? CpuSet.from(own.map(({ id }) => id)).toString() : "";
  }
}
