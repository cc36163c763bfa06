import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ThreadsPort } from "../enforce/ports.ts";

/** Threads of one container that are looked at; a program that has more is told by these. */
const MAX_THREADS = 256;

/**
 * Threads' affinities from the host's `/proc` (proc_pid_status(5), `Cpus_allowed_list`). Containers are found by `/proc/PID/cgroup`: what
 * `cgroup.procs` lists has no number here unless this process shares the host's pid namespace.
 */
export class HostThreads implements ThreadsPort {
  readonly #root: string;

  /** @param root where the host's procfs is mounted; "" where it is not. */
  constructor(root: string) {
    this.#root = root;
  }

  get isThere(): boolean {
    return this.#root !== "";
  }

  async masks(cgroups: ReadonlySet<string>): Promise<ReadonlyMap<string, readonly CpuSet[]>> {
    const byName = new Map([...cgroups].map((cgroup) => [cgroup.slice(cgroup.lastIndexOf("/") + 1), cgroup]));
    const found = new Map<string, { readonly texts: Set<string>; threads: number }>();
    for (const pid of await names(this.#root)) {
      if (!/^\d+$/.test(pid)) continue;
      const cgroup = cgroupOf(await text(join(this.#root, pid, "cgroup")), byName);
      if (cgroup === undefined) continue;
      const one = found.get(cgroup) ?? { texts: new Set<string>(), threads: 0 };
      found.set(cgroup, one);
      for (const thread of await names(join(this.#root, pid, "task"))) {
        if (one.threads >= MAX_THREADS) break;
        const status = await text(join(this.#root, pid, "task", thread, "status"));
        const allowed = /^Cpus_allowed_list:\s+(\S+)$/m.exec(status)?.[1];
        if (allowed === undefined) continue;
        one.threads += 1;
        one.texts.add(allowed);
      }
    }
    return new Map([...found].map(([cgroup, { texts }]) => [cgroup, [...texts].map((each) => CpuSet.parse(each))]));
  }
}

/** A path may be told from this process's own cgroup on (`/../..`), and a container may have made cgroups below its own. */
function cgroupOf(lines: string, byName: ReadonlyMap<string, string>): string | undefined {
  for (const part of lines.split(/[/\n]/)) {
    const cgroup = byName.get(part);
    if (cgroup !== undefined) return cgroup;
  }
  return undefined;
}

/** Nothing of a process that has ended meanwhile. */
function names(dir: string): Promise<string[]> {
  return readdir(dir).catch(() => []);
}

function text(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}
