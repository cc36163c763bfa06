import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { isWatched, type ContainerRecord } from "../masks/container.ts";
import type { NodeKnowledge } from "./node.ts";
import type { ThreadsPort } from "./ports.ts";

/** In a first look a container may be on its way. */
const LOOKS = 2;

/**
 * Containers without a claim whose threads all stay on the same few of the CPUs that they may use: from Linux 6.2 on a mask that was set for a process
 * outlives its cgroup's, and runc before 1.3.1 sets one, so that they do not follow when the shared pool grows. A claim's CPUs do not change under it, and its
 * program may pin threads as it likes.
 */
export class NarrowThreads {
  readonly #node: NodeKnowledge;
  readonly #threads: ThreadsPort;
  /** How often in a row, and what was found, by container id; by "" that nothing could be seen. */
  #streaks = new Map<string, { readonly looks: number; readonly text: string }>();

  constructor(node: NodeKnowledge, threads: ThreadsPort) {
    this.#node = node;
    this.#threads = threads;
  }

  /** To be called every few seconds. */
  async look(): Promise<void> {
    if (this.#threads.root === "") return;
    const before = new Map<ContainerRecord, CpuSet>();
    for (const one of this.#node.containers.values())
      if (one.role === "shared" && isWatched(one) && one.effective !== undefined) before.set(one, one.effective);
    const cpusOf = new Map([...before].map(([{ cgroup = "" }, cpus]) => [cgroup, cpus]));
    const { seen, behind } = await this.#threads.behind(cpusOf);
    const found = new Map<string, string>();
    if (before.size > 0 && seen === 0)
      found.set(
        "",
        `No process of any container can be seen below ${this.#threads.root}: --host-proc must be the host's /proc`,
      );
    for (const [one, may] of before) {
      const cpus = behind.get(one.cgroup ?? "");
      // Nobody knows what was there first where its mask has moved meanwhile.
      if (cpus === undefined || one.effective?.equals(may) !== true) continue;
      const { id, name, podNamespace, podName } = one.ref;
      found.set(
        id,
        `All threads of container ${name} of pod ${podNamespace}/${podName} stay on CPUs ${cpus.toString()}, though it may use ${may.toString()}: its runtime or itself has set their affinity`,
      );
    }
    this.#streaks = new Map(
      [...found].map(([id, text]) => [id, { looks: (this.#streaks.get(id)?.looks ?? 0) + 1, text }]),
    );
  }

  findings(): Finding[] {
    return [...this.#streaks.values()]
      .filter(({ looks }) => looks >= LOOKS)
      .slice(0, 5)
      .map(({ text }) => ({ code: CODES.threadNarrow, text }));
  }
}
