import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { cpusOf, type NodeKnowledge } from "./node.ts";
import { OutsideWork } from "./outsidework.ts";
import type { CgroupPort, UsagePort } from "./ports.ts";

/** What came for this many looks in a row is no accident: an interrupt storm, a container on its way. */
const LOOKS = 3;

/** Claims that share containers: whose work is on which of their CPUs cannot be told apart. */
interface Group {
  readonly claims: readonly string[];
  readonly cpus: CpuSet;
  /** Milliseconds of CPU time so far, by container id. */
  readonly used: ReadonlyMap<string, number>;
}

interface Gathered {
  readonly claims: Set<string>;
  readonly used: Map<string, number>;
  cpus: CpuSet;
  /** Of each running container the kernel said what it used. */
  isKnown: boolean;
}

interface Look {
  readonly atMs: number;
  readonly busy: ReadonlyMap<number, number>;
  /** By the uids of its claims. */
  readonly groups: ReadonlyMap<string, Group>;
}

/**
 * Work on claims' CPUs that is none of their containers': host services, kernel threads, whatever is outside of Kubernetes. What the kernel counts on a claim's CPUs, less what the
 * claim's containers used, is others'. Masks keep only containers off; partitions keep everybody off, and nothing is looked at there.
 */
export class ForeignLoad {
  readonly #node: NodeKnowledge;
  readonly #usage: UsagePort;
  readonly #outside: OutsideWork;
  /** Of one CPU. */
  readonly #limit: number;
  #last: Look | undefined;
  /** How often in a row it was too much, and how much last, by group. */
  readonly #streaks = new Map<string, { readonly looks: number; readonly share: number; readonly group: Group }>();

  /** @param limit share of one CPU from which it is told; 0 looks at nothing. */
  constructor(node: NodeKnowledge, usage: UsagePort, cgroup: Pick<CgroupPort, "read">, limit: number) {
    this.#node = node;
    this.#usage = usage;
    this.#outside = new OutsideWork(node, usage, cgroup);
    this.#limit = limit;
  }

  /** To be called every few seconds. */
  async look(nowMs: number): Promise<void> {
    const groups = this.#limit === 0 || !this.#node.synchronized ? new Map<string, Group>() : await this.#groups();
    if (groups.size === 0) {
      this.#last = undefined;
      this.#streaks.clear();
      this.#outside.forget();
      return;
    }
    const now: Look = { atMs: nowMs, busy: await this.#usage.busyMs(), groups };
    const before = this.#last;
    this.#last = now;
    for (const key of this.#streaks.keys()) if (!groups.has(key)) this.#streaks.delete(key);
    if (before === undefined) return;
    for (const [key, group] of groups) {
      const share = foreignShare(before, now, key);
      // Containers came or went meanwhile: nobody knows what they used.
      if (share === undefined) continue;
      if (share < this.#limit) this.#streaks.delete(key);
      else this.#streaks.set(key, { looks: (this.#streaks.get(key)?.looks ?? 0) + 1, share, group });
    }
    if (this.#streaks.size === 0) this.#outside.forget();
    else await this.#outside.look(nowMs);
  }

  findings(): Finding[] {
    return [...this.#streaks.values()]
      .filter(({ looks }) => looks >= LOOKS)
      .slice(0, 5)
      .map(({ share, group: { claims, cpus } }) => ({
        code: CODES.hostProcesses,
        text: `Others than its containers take ${Math.round(share * 100)} % of a CPU from CPUs ${cpus.toString()} of claim ${claims.map((uid) => this.#name(uid)).join(" and ")}${this.#outside.on(cpus)}`,
      }));
  }

  #name(uid: string): string {
    const claim = this.#node.claim(uid)?.claim;
    return claim === undefined || claim.name === "" ? uid : `${claim.namespace}/${claim.name}`;
  }

  /** One file after the other, and no hook waits for any. */
  async #groups(): Promise<Map<string, Group>> {
    const byClaim = new Map<string, Gathered>();
    for (const allocation of this.#node.claims())
      if (this.#node.isByMasks(allocation.claim.uid) && !this.#node.isDrained(allocation))
        byClaim.set(allocation.claim.uid, {
          claims: new Set([allocation.claim.uid]),
          cpus: cpusOf(allocation).union(allocation.idle),
          used: new Map(),
          isKnown: true,
        });
    for (const container of [...this.#node.containers.values()]) {
      const [first, ...more] = new Set(container.uses.flatMap((use) => byClaim.get(use.claimUid) ?? []));
      if (first === undefined) continue;
      for (const other of more) {
        for (const uid of other.claims) first.claims.add(uid);
        first.cpus = first.cpus.union(other.cpus);
        for (const [id, ms] of other.used) first.used.set(id, ms);
        first.isKnown &&= other.isKnown;
      }
      for (const uid of first.claims) byClaim.set(uid, first);
      const ms = container.cgroup === undefined ? undefined : await this.#usage.usedMs(container.cgroup);
      if (ms !== undefined) first.used.set(container.ref.id, ms);
      // One that is only created has used nothing, and has no cgroup yet.
      else if (container.phase === "running") first.isKnown = false;
    }
    return new Map(
      [...new Set(byClaim.values())]
        .filter(({ isKnown }) => isKnown)
        .map(({ claims, cpus, used }) => {
          const uids = [...claims].sort();
          return [uids.join(), { claims: uids, cpus, used }];
        }),
    );
  }
}

/** @returns share of one CPU between two looks; `undefined` where it cannot be known. */
function foreignShare(before: Look, now: Look, key: string): number | undefined {
  const [was, is] = [before.groups.get(key), now.groups.get(key)];
  const elapsed = now.atMs - before.atMs;
  if (was === undefined || is === undefined || elapsed <= 0 || !was.cpus.equals(is.cpus)) return undefined;
  if (was.used.size !== is.used.size) return undefined;
  let foreign = 0;
  for (const cpu of is.cpus) {
    const [from, to] = [before.busy.get(cpu), now.busy.get(cpu)];
    // An offline CPU is in no list.
    if (from !== undefined && to !== undefined) foreign += Math.max(0, to - from);
  }
  for (const [id, ms] of is.used) {
    const from = was.used.get(id);
    if (from === undefined) return undefined;
    foreign -= Math.max(0, ms - from);
  }
  return Math.max(0, foreign) / elapsed;
}
