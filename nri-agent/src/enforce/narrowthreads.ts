import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { isWatched, type ContainerRecord } from "../masks/container.ts";
import type { NodeKnowledge } from "./node.ts";
import type { ThreadsPort } from "./ports.ts";

/** In a first look a container may be on its way. */
const LOOKS = 2;

/**
 * Containers without a claim whose threads all stay on the same CPUs though the shared pool has grown: from Linux 6.2 on a mask that was set for a process
 * outlives its cgroup's, and runc before 1.3.1 sets one. A claim's CPUs do not change under it, and its program may pin threads as it likes.
 */
export class NarrowThreads {
  readonly #node: NodeKnowledge;
  readonly #threads: ThreadsPort;
  /** How often in a row, and what was found, by container id. */
  #streaks = new Map<string, { readonly looks: number; readonly text: string }>();

  constructor(node: NodeKnowledge, threads: ThreadsPort) {
    this.#node = node;
    this.#threads = threads;
  }

  /** To be called every few seconds. */
  async look(): Promise<void> {
    if (!this.#threads.isThere) return;
    const before = new Map<ContainerRecord, string>();
    for (const one of this.#node.containers.values())
      if (one.role === "shared" && isWatched(one)) before.set(one, one.effective?.toString() ?? "");
    const masks = await this.#threads.masks(new Set([...before.keys()].map(({ cgroup = "" }) => cgroup)));
    const streaks = new Map<string, { readonly looks: number; readonly text: string }>();
    for (const [one, effective] of before) {
      const [cpus, ...others] = masks.get(one.cgroup ?? "") ?? [];
      const may = one.effective;
      // Nobody knows what was there first where its mask has moved meanwhile.
      if (cpus === undefined || others.length > 0 || may?.toString() !== effective) continue;
      if (cpus.equals(may) || !cpus.isSubsetOf(may)) continue;
      const { name, podNamespace, podName } = one.ref;
      streaks.set(one.ref.id, {
        looks: (this.#streaks.get(one.ref.id)?.looks ?? 0) + 1,
        text: `All threads of container ${name} of pod ${podNamespace}/${podName} stay on CPUs ${cpus.toString()}, though it may use ${may.toString()}: its runtime or itself has set their affinity`,
      });
    }
    this.#streaks = streaks;
  }

  findings(): Finding[] {
    return [...this.#streaks.values()]
      .filter(({ looks }) => looks >= LOOKS)
      .slice(0, 5)
      .map(({ text }) => ({ code: CODES.threadNarrow, text }));
  }
}
