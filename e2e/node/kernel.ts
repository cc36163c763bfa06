import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const CPUSET = "/sys/fs/cgroup/cpuset/kubepods";

/** A process that runs code of a container's image, as the kernel has it. */
export interface ContainerProcess {
  readonly pid: number;
  readonly podUid: string;
  /** `Cpus_allowed_list` */
  readonly allowed: string;
  readonly command: string;
}

/** Processes of all pods' containers: without pods' sandboxes, and without what runc is still preparing. */
export function containerProcesses(): ContainerProcess[] {
  return leaves(CPUSET).flatMap((cgroup) => {
    const podUid = /\/pod([^/]+)\//.exec(cgroup)?.[1] ?? "";
    const here = pidsIn(cgroup).flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
        return [{ pid, podUid, allowed: allowedOf(pid), command }];
      } catch {
        return [];
      }
    });
    const isSandbox = here.some((one) => one.command === "/bin/sh /pause");
    return isSandbox ? [] : here.filter((one) => !/runc.* init$/.test(one.command) && one.command !== "");
  });
}

/** `Cpus_allowed_list` of a process, from the kernel. */
export function allowedOf(pid: number): string {
  return allowedIn(readFileSync(`/proc/${pid}/status`, "utf8"));
}

export function allowedIn(status: string): string {
  return /Cpus_allowed_list:\s*(\S+)/.exec(status)?.[1] ?? `nothing in ${JSON.stringify(status.slice(0, 100))}`;
}

/** Seconds since boot of the machine at which a process began to exist, in steps of 10 ms (proc_pid_stat(5), field 22). */
export function bornAt(stat: string): number {
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]) / 100;
}

export function uptime(): number {
  return Number(readFileSync("/proc/uptime", "utf8").split(" ")[0]);
}

export function isThere(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    return false;
  }
}

export function pidsIn(cgroup: string): number[] {
  try {
    return readFileSync(join(cgroup, "cgroup.procs"), "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map(Number);
  } catch {
    return [];
  }
}

function leaves(dir: string): string[] {
  try {
    const below = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return below.length === 0 ? [dir] : below.flatMap((entry) => leaves(join(dir, entry.name)));
  } catch {
    return [];
  }
}
