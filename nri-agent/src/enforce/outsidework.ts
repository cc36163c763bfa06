import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { NodeKnowledge } from "./node.ts";
import type { CgroupPort, UsagePort } from "./ports.ts";

/** Share of one CPU below which nobody is named. */
const WORTH_NAMING = 0.05;
const NAMED = 3;

/**
 * Which cgroups outside of pods use CPU time, so that who is looked for on claims' CPUs has a name. The kernel counts it by cgroup and not
 * by CPU too: those named may have worked elsewhere. Kernel threads are in none but the root.
 */
export class OutsideWork {
  readonly #node: NodeKnowledge;
  readonly #usage: UsagePort;
  readonly #cgroup: Pick<CgroupPort, "read">;
  #last: { readonly atMs: number; readonly used: ReadonlyMap<string, number> } | undefined;
  #shares: readonly { readonly path: string; readonly share: number }[] = [];

  constructor(node: NodeKnowledge, usage: UsagePort, cgroup: Pick<CgroupPort, "read">) {
    this.#node = node;
    this.#usage = usage;
    this.#cgroup = cgroup;
  }

  /** To be called every few seconds while names are wanted; two calls give the first. */
  async look(nowMs: number): Promise<void> {
    const pods = new Set([...this.#node.containers.values()].map(({ cgroup = "" }) => cgroup.split("/")[1] ?? ""));
    const before = this.#last;
    const used = await this.#usage.outsideMs(pods);
    this.#last = { atMs: nowMs, used };
    const elapsed = nowMs - (before?.atMs ?? nowMs);
    this.#shares = [...used]
      .flatMap(([path, ms]) => {
        const from = before?.used.get(path);
        return from === undefined || elapsed <= 0 ? [] : { path, share: (ms - from) / elapsed };
      })
      .filter(({ share }) => share >= WORTH_NAMING)
      .sort((a, b) => b.share - a.share);
  }

  forget(): void {
    this.#last = undefined;
    this.#shares = [];
  }

  /** @returns a part of a sentence on those that may run on these CPUs, or "". */
  on(cpus: CpuSet): string {
    const named = this.#shares
      // Where the kernel does not say where they run, they may run there.
      .filter(({ path }) => this.#cgroup.read(path)?.effective.overlaps(cpus) !== false)
      .slice(0, NAMED)
      .map(({ path, share }) => `${path} (${Math.round(share * 100)} %)`);
    return named.length === 0 ? "" : `; cgroups outside of pods that work now: ${named.join(", ")}`;
  }
}
