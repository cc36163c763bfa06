import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as turn } from "node:timers/promises";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Affinities, ThreadsPort } from "../enforce/ports.ts";

/** Hooks do not wait longer than this for a look. Reading at once takes a tenth of the time that it takes asynchronously. */
const SLICE_MS = 1;

/**
 * Threads' affinities from the host's `/proc` (proc_pid_status(5), `Cpus_allowed_list`). Containers are found by `/proc/PID/cgroup`: what
 * `cgroup.procs` lists has no number here unless this process shares the host's pid namespace.
 */
export class HostThreads implements ThreadsPort {
  readonly root: string;

  /** @param root where the host's procfs is mounted; "" where it is not. */
  constructor(root: string) {
    this.root = root;
  }

  async behind(may: ReadonlyMap<string, CpuSet>): Promise<Affinities> {
    const byName = new Map(
      [...may].map(([cgroup, cpus]) => [cgroup.slice(cgroup.lastIndexOf("/") + 1), { cgroup, cpus }]),
    );
    /** What all threads so far have; `undefined` once two differ, or one has all that it may. */
    const found = new Map<string, CpuSet | undefined>();
    let slice = performance.now();
    const breathe = async (): Promise<void> => {
      if (performance.now() - slice < SLICE_MS) return;
      await turn();
      slice = performance.now();
    };
    for (const pid of names(this.root)) {
      await breathe();
      if (!/^\d+$/.test(pid)) continue;
      const one = containerOf(text(join(this.root, pid, "cgroup")), byName);
      if (one === undefined) continue;
      for (const thread of names(join(this.root, pid, "task"))) {
        await breathe();
        const isKnown = found.has(one.cgroup);
        const before = found.get(one.cgroup);
        if (isKnown && before === undefined) break;
        const cpus = allowedIn(text(join(this.root, pid, "task", thread, "status")));
        if (cpus === undefined) continue;
        const isBehind =
          !cpus.equals(one.cpus) && cpus.isSubsetOf(one.cpus) && (before === undefined || cpus.equals(before));
        found.set(one.cgroup, isBehind ? cpus : undefined);
      }
    }
    const behind = new Map<string, CpuSet>();
    for (const [cgroup, cpus] of found) if (cpus !== undefined) behind.set(cgroup, cpus);
    return { seen: found.size, behind };
  }
}

/** A path may be told from this process's own cgroup on (`/../..`), and a container may have made cgroups below its own. */
function containerOf<T>(lines: string, byName: ReadonlyMap<string, T>): T | undefined {
  for (const part of lines.split(/[/\n]/)) {
    const found = byName.get(part);
    if (found !== undefined) return found;
  }
  return undefined;
}

function allowedIn(status: string): CpuSet | undefined {
  const list = /^Cpus_allowed_list:\s+([\d,-]+)$/m.exec(status)?.[1];
  return list === undefined ? undefined : CpuSet.parse(list);
}

/** Nothing of a process that has ended meanwhile. */
function names(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch {
    return [];
  }
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
