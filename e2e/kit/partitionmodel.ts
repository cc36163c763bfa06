import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { CgroupFault, type CgroupPort, type CgroupReading } from "@dracpu/nri-agent/enforce/ports.ts";
import {
  below,
  conflicts,
  granted,
  group,
  isAlone,
  isPopulated,
  siblings,
  tree,
  type Group,
} from "./partitiongroup.ts";

const NOT_EXCLUSIVE = "Cpu list in cpuset.cpus not exclusive";
const BAD_LIST = "Invalid cpu list in cpuset.cpus.exclusive";
const EMPTY = "cpuset.cpus and cpuset.cpus.exclusive are empty";

/**
 * cgroup v2's cpuset controller as Linux 6.12 behaves, with its faults, in memory: remote partitions only (those whose parent is none), which are the only
 * ones that the agent makes. `e2e/runtime/guest/cpusets.ts` compares it with the kernel, write by write.
 *
 * - a sibling's mask that meets a valid partition makes that `invalid` without a reason, and its CPUs stay taken; `member` gives them back
 * - when the cgroup of such a one is removed, its CPUs are nobody's for good
 * - lists of siblings never overlap (EINVAL), nor does a list hold all of a sibling's mask
 */
export class PartitionModel implements CgroupPort {
  readonly version = 2;
  readonly #root: Group;
  readonly #possible: CpuSet;
  #active: CpuSet;
  /** CPUs of all partitions, and of those that went away without giving theirs back. */
  #taken = CpuSet.empty;
  readonly #watchers = new Map<string, Set<() => void>>();

  constructor(possible: CpuSet) {
    this.#possible = possible;
    this.#active = possible;
    this.#root = group("", undefined);
  }

  /** With everything above it. */
  mkdir(path: string): void {
    let at = this.#root;
    for (const name of path.split("/").slice(1)) {
      const below = at.children.get(name) ?? group(`${at.path}/${name}`, at);
      at.children.set(name, below);
      at = below;
    }
  }

  /** @throws Error where something lives in it. */
  rmdir(path: string): void {
    const one = this.#known(path);
    if (one.children.size > 0 || one.processes > 0) throw new Error(`${path}: EBUSY`);
    if (one.valid && one.type !== "member") this.#set(one, "member");
    one.parent?.children.delete(path.slice(path.lastIndexOf("/") + 1));
  }

  get online(): CpuSet {
    return this.#active;
  }

  /** Every cgroup but the root. */
  paths(): string[] {
    return [...this.#all()].map((one) => one.path).filter((path) => path !== "");
  }

  has(path: string): boolean {
    return this.#find(path) !== undefined;
  }

  setProcesses(path: string, processes: number): void {
    this.#known(path).processes = processes;
  }

  setOnline(cpus: CpuSet): void {
    this.#active = cpus;
    for (const one of this.#all()) {
      if (one.taken === undefined || one.strayed !== undefined || one.taken.overlaps(cpus) || !isPopulated(one))
        continue;
      this.#giveBack(one);
      one.valid = false;
      one.why = BAD_LIST;
      this.#announce(one.path);
    }
  }

  /** What a process in it may run on. */
  effective(path: string): CpuSet {
    return this.#effective(this.#known(path));
  }

  /** `cpuset.cpus.exclusive.effective`. */
  granted(path: string): CpuSet {
    const one = this.#known(path);
    return one.taken ?? granted(one);
  }

  /** It is called invalid, and its CPUs are nobody's but its. */
  isHalf(path: string): boolean {
    const one = this.#find(path);
    return one?.taken !== undefined && !one.valid;
  }

  /** CPUs that no cgroup can have any more. */
  lost(): CpuSet {
    const found = [...this.#all()].map((one) => one.taken ?? CpuSet.empty);
    return this.#taken.minus(CpuSet.union(found));
  }

  read(path: string): CgroupReading | undefined {
    const one = this.#find(path);
    if (one === undefined) return undefined;
    return { own: one.cpus, effective: CpuSet.union([...tree(one)].map((each) => this.#effective(each))) };
  }

  populated(path: string): boolean {
    const one = this.#find(path);
    return one !== undefined && isPopulated(one);
  }

  children(path: string): readonly string[] {
    return [...(this.#find(path)?.children.keys() ?? [])];
  }

  readExclusive(path: string): CpuSet | undefined {
    return this.#find(path)?.exclusive;
  }

  readPartition(path: string): string | undefined {
    const one = this.#find(path);
    if (one === undefined || one.type === "member" || one.valid) return one?.type;
    return one.why === "" ? `${one.type} invalid` : `${one.type} invalid (${one.why})`;
  }

  write(path: string, cpus: CpuSet): void {
    const one = this.#writable(path, "cpuset.cpus");
    if (!cpus.isSubsetOf(this.#possible)) throw refused(path, "EINVAL");
    if (cpus.equals(one.cpus)) return;
    if (cpus.isEmpty && isPopulated(one)) throw refused(path, "ENOSPC");
    const clash = conflicts(one, { cpus, exclusive: one.exclusive, alone: isAlone(one) });
    if (clash) {
      const wanted = one.exclusive.isEmpty ? cpus : one.exclusive;
      for (const sibling of siblings(one)) {
        if (!isAlone(sibling) || sibling.taken?.overlaps(wanted) !== true) continue;
        sibling.valid = false;
        sibling.why = "";
        this.#announce(sibling.path);
      }
    }
    one.cpus = cpus;
    if (isAlone(one)) this.#retake(one);
    else this.#stray(one);
  }

  writeExclusive(path: string, cpus: CpuSet): void {
    const one = this.#writable(path, "cpuset.cpus.exclusive");
    if (cpus.equals(one.exclusive)) return;
    if (conflicts(one, { cpus: one.cpus, exclusive: cpus, alone: isAlone(one) })) throw refused(path, "EINVAL");
    const had = [...tree(one)].filter((each) => each.taken !== undefined && !each.valid);
    one.exclusive = cpus;
    for (const each of tree(one)) if (isAlone(each)) this.#retake(each, each === one && cpus.isEmpty);
    for (const each of had) {
      const now = each === one ? undefined : granted(each);
      if (now?.isEmpty === true) this.#giveBack(each);
      // Here the kernel counts wrong: CPUs are in use twice, or it is called valid again.
      else if (now === undefined || each.taken?.isSubsetOf(now) !== true)
        throw new Error(`a list of or above ${each.path} takes CPUs from it, which is invalid and has them`);
    }
  }

  writePartition(path: string, type: "root" | "isolated" | "member"): void {
    this.#set(this.#writable(path, "cpuset.cpus.partition"), type);
  }

  watchPartition(path: string, changed: () => void): () => void {
    const watchers = this.#watchers.get(path) ?? new Set();
    this.#watchers.set(path, watchers.add(changed));
    return () => watchers.delete(changed);
  }

  #announce(path: string): void {
    for (const changed of this.#watchers.get(path) ?? []) changed();
  }

  #set(one: Group, type: "root" | "isolated" | "member"): void {
    if (one.type === type && (one.valid || type === "member")) return;
    const wasValid = one.valid && one.type !== "member";
    one.type = type;
    one.why = "";
    if (type === "member") {
      if (one.taken !== undefined) this.#giveBack(one);
      one.valid = true;
      one.strayed = undefined;
    } else if (!wasValid) {
      one.why = this.#take(one);
      one.valid = one.why === "";
      this.#stray(one);
    }
    this.#announce(one.path);
  }

  /** @returns "" or the kernel's reason. */
  #take(one: Group): string {
    if (conflicts(one, { cpus: one.cpus, exclusive: one.exclusive, alone: true })) return NOT_EXCLUSIVE;
    if (one.cpus.isEmpty && one.exclusive.isEmpty) return EMPTY;
    if (one.parent !== undefined && (one.parent === this.#root || isAlone(one.parent)))
      throw new Error(`${one.path} would be a partition right below another, which this model does not know`);
    const cpus = (one.exclusive.isEmpty ? one.cpus : one.exclusive).intersect(this.#grantedTo(one.parent));
    if (cpus.isEmpty || cpus.overlaps(this.#taken) || this.#effective(this.#root).isSubsetOf(cpus)) return BAD_LIST;
    one.taken = cpus;
    this.#taken = this.#taken.union(cpus);
    return "";
  }

  /** A valid partition's files were written: it grows or shrinks, or is none any more. */
  #retake(one: Group, nothing = false): void {
    const had = one.taken ?? CpuSet.empty;
    const now = nothing ? CpuSet.empty : granted(one);
    const more = now.minus(had);
    const isBad =
      now.isEmpty || more.overlaps(this.#taken) || (!more.isEmpty && this.#effective(this.#root).isSubsetOf(more));
    if (isBad) {
      this.#giveBack(one);
      one.valid = false;
      one.why = BAD_LIST;
      this.#announce(one.path);
      return;
    }
    this.#taken = this.#taken.minus(had).union(now);
    one.taken = now;
  }

  #giveBack(one: Group): void {
    this.#taken = this.#taken.minus(one.taken ?? CpuSet.empty);
    one.taken = undefined;
  }

  #grantedTo(one: Group | undefined): CpuSet {
    return one === undefined || one === this.#root ? this.#possible : granted(one);
  }

  #effective(one: Group): CpuSet {
    if (one.parent === undefined) return this.#active.minus(this.#taken);
    if (one.strayed !== undefined) return one.strayed.intersect(this.#active);
    if (one.taken !== undefined) return one.taken.intersect(this.#active);
    return below(one, this.#effective(one.parent));
  }

  #stray(one: Group): void {
    if (one.parent !== undefined && one.taken !== undefined && !one.valid)
      one.strayed = below(one, this.#effective(one.parent));
  }

  #writable(path: string, file: string): Group {
    const one = this.#find(path);
    if (one === undefined)
      throw new CgroupFault("gone", `Cannot write ${file} of cgroup ${path}: it does not exist any more`);
    return one;
  }

  #known(path: string): Group {
    const one = this.#find(path);
    if (one === undefined) throw new Error(`no cgroup ${path}`);
    return one;
  }

  #find(path: string): Group | undefined {
    let at: Group | undefined = this.#root;
    for (const name of path.split("/").slice(1)) at = at?.children.get(name);
    return at;
  }

  #all(): Generator<Group> {
    return tree(this.#root);
  }
}

function refused(path: string, code: string): CgroupFault {
  return new CgroupFault("refused", `Cannot write to cgroup ${path}: the kernel refuses it (${code})`);
}
