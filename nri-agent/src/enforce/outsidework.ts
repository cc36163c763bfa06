import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { NodeKnowledge } from "./node.ts";
import { CgroupFault, type CgroupPort, type UsagePort } from "./ports.ts";

/** Share of one CPU below which nobody is named. */
const WORTH_NAMING = 0.05;
const NAMED = 3;
/** How many are looked at closer. */
const BUSIEST = 16;

/**
 * Which cgroups outside of pods use CPU time, so that who is looked for on claims' CPUs has a name. The kernel counts it by cgroup and not
 * by CPU too: those named may have worked elsewhere. Kernel threads are in none but the root.
 */
export class OutsideWork {
  readonly #node: NodeKnowledge;
  readonly #usage: UsagePort;
  readonly #cgroup: Pick<CgroupPort, "read">;
  #last: { readonly atMs: number; readonly used: ReadonlyMap<string, number> } | undefined;
  #shares: readonly { readonly path: string; readonly share: number; readonly cpus: CpuSet | undefined }[] = [];

  constructor(node: NodeKnowledge, usage: UsagePort, cgroup: Pick<CgroupPort, "read">) {
    this.#node = node;
    this.#usage = usage;
    this.#cgroup = cgroup;
  }

  /** To be called every few seconds while names are wanted; two calls give the first. */
  async look(nowMs: number): Promise<void> {
    const before = this.#last;
    const used = await this.#usage.outsideMs([...this.#node.containers.values()].map(({ cgroup = "" }) => cgroup));
    this.#last = { atMs: nowMs, used };
    const elapsed = nowMs - (before?.atMs ?? nowMs);
    this.#shares = [...used]
      .flatMap(([path, ms]) => {
        const from = before?.used.get(path);
        return from === undefined || elapsed <= 0 ? [] : { path, share: (ms - from) / elapsed };
      })
      .filter(({ share }) => share >= WORTH_NAMING)
      .sort((a, b) => b.share - a.share)
      .slice(0, BUSIEST)
      .map((one) => ({ ...one, cpus: this.#cpusOf(one.path) }));
  }

  forget(): void {
    this.#last = undefined;
    this.#shares = [];
  }

  /** @returns a part of a sentence on those that may run on these CPUs, or "". */
  on(cpus: CpuSet): string {
    const named = this.#shares
      .filter((one) => one.cpus === undefined || one.cpus.overlaps(cpus))
      .slice(0, NAMED)
      .map(({ path, share }) => `${path} (${Math.round(share * 100)} %)`);
    return named.length === 0 ? "" : `; cgroups outside of pods that work now: ${named.join(", ")}`;
  }

  /** Its own, or those of the nearest above it that the cpuset controller knows; `undefined` where that is the root: anywhere. */
  #cpusOf(path: string): CpuSet | undefined {
    for (let at = path; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) {
      try {
        const reading = this.#cgroup.read(at);
        if (reading !== undefined) return reading.effective;
      } catch (cause) {
        if (!(cause instanceof CgroupFault)) throw cause;
      }
    }
    return undefined;
  }
}
