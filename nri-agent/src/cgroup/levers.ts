import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Levers } from "../enforce/ports.ts";
import { CpusetFiles, type CpusetHierarchy } from "./cpusetfs.ts";

export type LeverChoice = "auto" | "kernel" | "file" | "runtime";

/**
 * Finds by trying which levers work here: a scratch cgroup is made below the root, looked at, written to, and removed.
 *
 * @param choice `auto`, or the lever the operator wants; one that does not work here is an error, not a fallback.
 * @throws Error with a sentence where the wanted lever does not work.
 */
export function findLevers(at: CpusetHierarchy, choice: LeverChoice): Levers {
  const tried = tryFiles(at);
  const noKernel =
    tried !== ""
      ? tried
      : at.version === 1
        ? "kernel lever: cgroup v1 has no cpuset partitions"
        : !hasExclusive(at)
          ? "kernel lever: no cpuset.cpus.exclusive (it came with Linux 6.7)"
          : isSysAdmin()
            ? ""
            : "kernel lever: cpuset partitions of containers need CAP_SYS_ADMIN";
  if (choice === "kernel" && noKernel !== "")
    throw new Error(`Cannot use --lever kernel here: ${noKernel}; use --lever auto`);
  if (choice === "file" && tried !== "")
    throw new Error(`Cannot use --lever file here: ${tried}; use --lever auto or runtime`);
  if ((choice === "auto" && noKernel === "") || choice === "kernel") return { force: "kernel", masks: "file", why: "" };
  if (choice !== "runtime" && tried === "") {
    return { force: "file", masks: "file", why: choice === "file" ? "--lever file" : noKernel };
  }
  return { force: "runtime", masks: "runtime", why: choice === "runtime" ? "--lever runtime" : tried };
}

const SCRATCH = "dra-driver-cpu-probe";
/** The root of a hierarchy is read-only for a root without CAP_DAC_OVERRIDE; what is below, where containers are, is not. */
const PARENTS = ["", "/kubepods", "/kubepods.slice"];

function withScratch<T>(at: CpusetHierarchy, look: (path: string) => T): T {
  const path = makeScratch(at.root);
  try {
    return look(path);
  } finally {
    rmdirSync(at.root + path);
  }
}

function makeScratch(root: string): string {
  let first: unknown;
  for (const parent of PARENTS) {
    try {
      mkdirSync(`${root}${parent}/${SCRATCH}`);
      return `${parent}/${SCRATCH}`;
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "EEXIST") return `${parent}/${SCRATCH}`;
      first ??= cause;
    }
  }
  throw first;
}

function tryFiles(at: CpusetHierarchy): string {
  try {
    withScratch(at, (path) => {
      const files = new CpusetFiles(at);
      const reading = files.read(path);
      if (reading === undefined)
        throw new Error(`no ${at.cpus} in a new cgroup (is +cpuset in cgroup.subtree_control of the root?)`);
      files.write(
        path,
        reading.effective.isEmpty ? CpuSet.parse(readFileSync(join(at.root, at.cpus), "utf8")) : reading.effective,
      );
    });
    return "";
  } catch (cause) {
    return `file lever: ${at.root} cannot be written (${(cause as Error).message})`;
  }
}

function hasExclusive(at: CpusetHierarchy): boolean {
  return withScratch(at, (path) => existsSync(join(at.root + path, "cpuset.cpus.exclusive")));
}

/** The kernel makes a partition below cgroups that are none for nobody else (kernel/cgroup/cpuset.c, remote_partition_enable). */
function isSysAdmin(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return ((BigInt(`0x${effective}`) >> 21n) & 1n) === 1n;
}
