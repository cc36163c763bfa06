import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Facts, ProcessFacts } from "../doctor/facts.ts";
import type { Picture } from "../picture/picture.ts";
import { see } from "./node.ts";

/** Threads and programs that are named; more of them say nothing more. */
const MAX_NAMED = 10;

/**
 * Compares the affinity of every thread with its cgroup, and looks for programs outside of containers on claims' CPUs. Needs the host's processes
 * (a pod with hostPID, or the node itself).
 */
export function processFacts(picture: Picture | undefined, cgroupRoot: string, procRoot: string): Facts["processes"] {
  return see(() => {
    const containers = picture?.containers.filter((one) => one.cgroup !== "" && one.effective !== "") ?? [];
    const root = existsSync(join(cgroupRoot, "cgroup.controllers")) ? cgroupRoot : join(cgroupRoot, "cpuset");
    const narrow: ProcessFacts["narrow"][number][] = [];
    const contained = new Set<string>();
    let looked = 0;
    for (const one of containers) {
      for (const pid of pidsOf(root + one.cgroup)) {
        contained.add(pid);
        if (!existsSync(join(procRoot, pid))) continue;
        if (one.role !== "own") looked += 1;
        for (const { thread, cpus } of threadsOf(procRoot, pid))
          if (!cpus.equals(CpuSet.parse(one.effective)) && narrow.length < MAX_NAMED)
            narrow.push({
              container: `${one.namespace}/${one.pod}/${one.name}`,
              thread,
              cpus: cpus.toString(),
            });
      }
    }
    // In a pod only the pod's own can be seen.
    if (containers.length > 0 && looked === 0)
      throw new Error(`no process of a container can be seen below ${root} and ${procRoot}; they are the host's`);
    const held = CpuSet.parse(picture?.machine.held ?? "");
    return { narrow, strangers: held.isEmpty ? [] : strangersOf(procRoot, contained, held) };
  });
}

function strangersOf(procRoot: string, contained: ReadonlySet<string>, held: CpuSet): ProcessFacts["strangers"] {
  const found = new Map<string, CpuSet>();
  for (const pid of readdirSync(procRoot).filter((name) => /^\d+$/.test(name) && !contained.has(name))) {
    try {
      const status = readFileSync(join(procRoot, pid, "status"), "utf8");
      // Threads of the kernel have no memory of their own, and are bound where they belong.
      if (!status.includes("VmSize:")) continue;
      const cpus = allowedOf(status).intersect(held);
      const name = /^Name:\s+(.*)$/m.exec(status)?.[1] ?? "?";
      if (!cpus.isEmpty) found.set(name, (found.get(name) ?? CpuSet.empty).union(cpus));
    } catch {
      // It has ended meanwhile.
    }
  }
  return [...found].slice(0, MAX_NAMED).map(([name, cpus]) => ({ name, cpus: cpus.toString() }));
}

function pidsOf(cgroup: string): string[] {
  try {
    return readFileSync(join(cgroup, "cgroup.procs"), "utf8")
      .split("\n")
      .filter((pid) => pid !== "" && pid !== "0");
  } catch {
    return [];
  }
}

function threadsOf(procRoot: string, pid: string): { readonly thread: number; readonly cpus: CpuSet }[] {
  try {
    return readdirSync(join(procRoot, pid, "task")).map((thread) => ({
      thread: Number(thread),
      cpus: allowedOf(readFileSync(join(procRoot, pid, "task", thread, "status"), "utf8")),
    }));
  } catch {
    return [];
  }
}

function allowedOf(status: string): CpuSet {
  return CpuSet.parse(/^Cpus_allowed_list:\s+(.*)$/m.exec(status)?.[1] ?? "");
}
