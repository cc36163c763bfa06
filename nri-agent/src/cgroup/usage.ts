import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { UsagePort } from "../enforce/ports.ts";
import type { CpusetHierarchy } from "./cpusetfs.ts";

/** USER_HZ: what the kernel tells user space is in hundredths of a second on every architecture that Node runs on. */
const TICK_MS = 10;

/** CPU time as the kernel counts it: of CPUs in `/proc/stat` (proc(5)), of cgroups in `cpu.stat` (v2) or `cpuacct.usage` (v1). */
export class KernelUsage implements UsagePort {
  readonly #procStat: string;
  readonly #at: { readonly root: string; readonly file: string; readonly read: (text: string) => number } | undefined;

  /** @param cgroupRoot where the host's cgroup file system is mounted. */
  constructor(at: CpusetHierarchy, cgroupRoot: string, procStat = "/proc/stat") {
    this.#procStat = procStat;
    if (at.version === 2) {
      const read = (text: string): number => Number(/^usage_usec (\d+)$/m.exec(text)?.[1]) / 1e3;
      this.#at = { root: at.root, file: "cpu.stat", read };
      return;
    }
    const root = ["cpuacct", "cpu,cpuacct", "cpuacct,cpu"]
      .map((name) => join(cgroupRoot, name))
      .find((dir) => existsSync(join(dir, "cpuacct.usage")));
    this.#at = root === undefined ? undefined : { root, file: "cpuacct.usage", read: (text) => Number(text) / 1e6 };
  }

  /** On a large machine the kernel takes milliseconds for it. */
  async busyMs(): Promise<ReadonlyMap<number, number>> {
    const text = await readFile(this.#procStat, "utf8").catch(() => "");
    const busy = new Map<number, number>();
    // user, nice and system; `guest` is part of user, and interrupts are nobody's.
    for (const [, cpu, user, nice, system] of text.matchAll(/^cpu(\d+) (\d+) (\d+) (\d+)/gm))
      busy.set(Number(cpu), (Number(user) + Number(nice) + Number(system)) * TICK_MS);
    return busy;
  }

  async usedMs(path: string): Promise<number | undefined> {
    if (this.#at === undefined) return undefined;
    try {
      const ms = this.#at.read(await readFile(`${this.#at.root}${path}/${this.#at.file}`, "utf8"));
      return Number.isFinite(ms) ? ms : undefined;
    } catch {
      // Gone already, or not there yet.
      return undefined;
    }
  }

  async outsideMs(pods: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const used = new Map<string, number>();
    const visit = async (path: string, depth: number): Promise<void> => {
      const below = depth < 2 ? await this.#below(path) : [];
      for (const child of below) await visit(child, depth + 1);
      if (below.length > 0 || pods.some((pod) => `${pod}/`.startsWith(`${path}/`))) return;
      const ms = await this.usedMs(path);
      if (ms !== undefined) used.set(path, ms);
    };
    await visit("", 0);
    used.delete("");
    return used;
  }

  async #below(path: string): Promise<string[]> {
    if (this.#at === undefined) return [];
    const entries = await readdir(this.#at.root + path, { withFileTypes: true }).catch(() => []);
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => `${path}/${name}`);
  }
}
