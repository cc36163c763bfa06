import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  watch,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { CgroupFault, type CgroupPort, type CgroupReading } from "../enforce/ports.ts";

/** Cgroups below a container's that are looked at one by one. The kernel lets no child be wider than its parent. */
const MAX_BELOW = 256;
const MAX_DEPTH = 8;
/** Its parent's entry and its own ".". File systems that do not count say 1. */
const LINKS_OF_AN_EMPTY_DIRECTORY = 2;

/** PID_NS_INIT_INO of include/uapi/linux/nsfs.h: the namespace that sees every process. */
const HOSTS_PIDS = "pid:[4026531836]";

/** Where the cpuset controller is, and how its files are called there. */
export interface CpusetHierarchy {
  readonly version: 1 | 2;
  readonly root: string;
  readonly cpus: string;
  readonly effective: string;
  /** v1: where the pids controller would be. */
  readonly pids?: string;
}

/**
 * Finds the cpuset controller below `cgroupRoot`, such as `/sys/fs/cgroup`. The controller decides, not the presence of a
 * cgroup2 mount: hybrid systems have one without controllers.
 *
 * @throws CgroupFault `gone` where there is none.
 */
export function findCpuset(cgroupRoot: string): CpusetHierarchy {
  const controllers = join(cgroupRoot, "cgroup.controllers");
  if (existsSync(controllers) && readFileSync(controllers, "utf8").split(/\s+/).includes("cpuset")) {
    return { version: 2, root: cgroupRoot, cpus: "cpuset.cpus", effective: "cpuset.cpus.effective" };
  }
  for (const dir of ["cpuset", "cpuset,cpu", "cpu,cpuset"]) {
    const [root, pids] = [join(cgroupRoot, dir), join(cgroupRoot, "pids")];
    if (existsSync(join(root, "cpuset.cpus"))) {
      return { version: 1, root, pids, cpus: "cpuset.cpus", effective: "cpuset.effective_cpus" };
    }
    if (existsSync(join(root, "cpus"))) return { version: 1, root, pids, cpus: "cpus", effective: "effective_cpus" };
  }
  throw new CgroupFault(
    "gone",
    `Cannot find the cpuset controller below ${cgroupRoot}: neither cgroup.controllers with cpuset (v2) nor cpuset/cpuset.cpus (v1) is there; give the directory where the host's cgroup file system is mounted with --cgroup-root`,
  );
}

/** The cpuset files of a hierarchy. Paths are as {@link CgroupPort} says. */
export class CpusetFiles implements CgroupPort {
  readonly version: 1 | 2;
  readonly #at: CpusetHierarchy;
  readonly #seesAll: boolean;

  /** @param pidNamespace this process's, as the kernel names it. */
  constructor(at: CpusetHierarchy, pidNamespace = ownPidNamespace()) {
    this.version = at.version;
    this.#at = at;
    this.#seesAll = pidNamespace === HOSTS_PIDS;
  }

  read(path: string): CgroupReading | undefined {
    const own = this.#get(path, this.#at.cpus);
    if (own === undefined) return undefined;
    const effective = this.#effective(path);
    if (effective === undefined) return undefined;
    const sets = [effective];
    // A container may make cgroups of its own, as many and as deep as it likes.
    for (const below of this.#below(path)) sets.push(this.#set(below, this.#at.effective) ?? CpuSet.empty);
    return { own: CpuSet.parse(own), effective: CpuSet.union(sets) };
  }

  /** v1: a cgroup that has lost all its CPUs runs on the nearest ancestor's that has some. */
  #effective(path: string): CpuSet | undefined {
    for (let at = path; ; at = at.slice(0, at.lastIndexOf("/"))) {
      const effective = this.#set(at, this.#at.effective);
      if (effective === undefined || !effective.isEmpty || this.version === 2 || at === "") return effective;
    }
  }

  #set(path: string, file: string): CpuSet | undefined {
    const text = this.#get(path, file);
    return text === undefined ? undefined : CpuSet.parse(text);
  }

  /** Cgroups below, breadth first, up to the bounds; `onCut` where there are more. */
  *#below(path: string, onCut: () => void = () => {}): Generator<string> {
    let level = [path];
    let left = MAX_BELOW;
    for (let depth = 0; depth < MAX_DEPTH && level.length > 0; depth += 1) {
      const next: string[] = [];
      for (const parent of level) {
        for (const name of this.children(parent)) {
          if (left === 0) {
            onCut();
            return;
          }
          left -= 1;
          next.push(`${parent}/${name}`);
          yield `${parent}/${name}`;
        }
      }
      level = next;
    }
    if (level.length > 0) onCut();
  }

  write(path: string, cpus: CpuSet): void {
    const before = this.#get(path, this.#at.cpus);
    if (before === undefined) throw new CgroupFault("gone", `Cannot set the CPUs of cgroup ${path}: it does not exist`);
    // v2 clips what is below by itself. On v1 a parent cannot become narrower than a child (EBUSY), nor a child wider.
    if (this.version === 1) this.#writeTree(path, CpuSet.parse(before), cpus);
    else this.#put(path, this.#at.cpus, cpus.toString());
  }

  #writeTree(path: string, before: CpuSet, cpus: CpuSet): void {
    const widest = before.union(cpus);
    if (!widest.equals(before)) this.#put(path, this.#at.cpus, widest.toString());
    for (const name of this.children(path)) {
      const child = `${path}/${name}`;
      const text = this.#get(child, this.#at.cpus);
      if (text === undefined) continue;
      const has = CpuSet.parse(text);
      const keeps = has.equals(before) ? cpus : has.intersect(cpus);
      // A child that nobody gave CPUs holds no process on v1; one that would lose all gets the whole new mask.
      if (!has.isEmpty) this.#writeTree(child, has, keeps.isEmpty ? cpus : keeps);
    }
    if (!widest.equals(cpus)) this.#put(path, this.#at.cpus, cpus.toString());
  }

  populated(path: string): boolean {
    if (this.version === 2) {
      const events = this.#get(path, "cgroup.events");
      return events !== undefined && /^populated 1$/m.test(events);
    }
    const procs = this.#get(path, "cgroup.procs");
    if (procs === undefined) return false;
    if (procs.trim() !== "") return true;
    if (!this.#seesAll) {
      // v1 leaves out processes of other pid namespaces (kernel/cgroup/cgroup-v1.c, pidlist_array_load): from inside a pod every container looks empty. The pids controller
      // counts them all, and those below. Without it a container lives until the runtime has removed its cgroup.
      const count = this.#at.pids === undefined ? undefined : text(`${this.#at.pids}${path}/pids.current`);
      return count === undefined || Number(count) > 0;
    }
    let isCut = false;
    for (const below of this.#below(path, () => (isCut = true)))
      if ((this.#get(below, "cgroup.procs") ?? "").trim() !== "") return true;
    // Where not all of them were asked, one may hold a process.
    return isCut;
  }

  children(path: string): readonly string[] {
    try {
      // A directory links to each below it; most containers have none, and to find that out by listing a cgroup's dozens of files takes as long as all that is read of it.
      if (statSync(this.#at.root + path).nlink === LINKS_OF_AN_EMPTY_DIRECTORY) return [];
      const names: string[] = [];
      for (const entry of readdirSync(this.#at.root + path, { withFileTypes: true })) {
        if (entry.isDirectory()) names.push(entry.name);
      }
      return names;
    } catch (cause) {
      if (isGone(cause)) return [];
      throw fault(`Cannot list the cgroups below ${path}`, cause);
    }
  }

  readExclusive(path: string): CpuSet | undefined {
    const text = this.#get(path, "cpuset.cpus.exclusive");
    return text === undefined ? undefined : CpuSet.parse(text);
  }

  writeExclusive(path: string, cpus: CpuSet): void {
    this.#put(path, "cpuset.cpus.exclusive", cpus.toString());
  }

  readPartition(path: string): string | undefined {
    return this.#get(path, "cpuset.cpus.partition")?.trim();
  }

  writePartition(path: string, type: "root" | "isolated" | "member"): void {
    this.#put(path, "cpuset.cpus.partition", type);
  }

  watchPartition(path: string, changed: () => void): (() => void) | undefined {
    try {
      const watcher = watch(`${this.#at.root}${path}/cpuset.cpus.partition`, { persistent: false }, changed);
      // Its cgroup is gone.
      watcher.on("error", () => watcher.close());
      return () => watcher.close();
    } catch {
      // Gone already, or fs.inotify.max_user_watches or max_user_instances is reached.
      return undefined;
    }
  }

  #get(path: string, file: string): string | undefined {
    try {
      return readFileSync(`${this.#at.root}${path}/${file}`, "utf8");
    } catch (cause) {
      if (isGone(cause)) return undefined;
      throw fault(`Cannot read ${file} of cgroup ${path}`, cause);
    }
  }

  /** Without O_CREAT: a cgroup that went away meanwhile must be ENOENT. An empty set needs the newline to be a write at all. */
  #put(path: string, file: string, text: string): void {
    const what = `Cannot write ${JSON.stringify(text)} to ${file} of cgroup ${path}`;
    let fd: number | undefined;
    try {
      fd = openSync(`${this.#at.root}${path}/${file}`, "r+");
      writeSync(fd, `${text}\n`);
    } catch (cause) {
      throw fault(what, cause, this.version === 1 ? parentOf(path) : undefined);
    } finally {
      if (fd !== undefined) closeSync(fd);
    }
  }
}

function ownPidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

function text(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

function codeOf(cause: unknown): string {
  return (cause as NodeJS.ErrnoException | undefined)?.code ?? "";
}

/** ENODEV: the file was open when its cgroup was removed. */
function isGone(cause: unknown): boolean {
  return ["ENOENT", "ENODEV", "ENOTDIR"].includes(codeOf(cause));
}

function fault(what: string, cause: unknown, v1Parent?: string): CgroupFault {
  const code = codeOf(cause);
  if (isGone(cause)) return new CgroupFault("gone", `${what}: it does not exist any more`, { cause });
  if (["EINVAL", "EBUSY", "ERANGE", "ENOSPC"].includes(code)) {
    return new CgroupFault("refused", `${what}: the kernel refuses it (${code})`, { cause });
  }
  if (["EACCES", "EPERM", "EROFS"].includes(code)) {
    const why = code === "EACCES" && v1Parent !== undefined ? `; its parent ${v1Parent} lacks a CPU of it` : "";
    return new CgroupFault("denied", `${what}: ${code}${why}`, { cause });
  }
  return new CgroupFault("io", `${what}: ${code === "" ? String(cause) : code}`, { cause });
}
