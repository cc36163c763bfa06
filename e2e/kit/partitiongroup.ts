import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

/** A cgroup of the partition model. */
export interface Group {
  readonly path: string;
  readonly parent: Group | undefined;
  readonly children: Map<string, Group>;
  cpus: CpuSet;
  exclusive: CpuSet;
  /** What it wants to be; `valid` tells whether the kernel agrees. */
  type: "member" | "root" | "isolated";
  valid: boolean;
  why: string;
  /** CPUs that nobody else has. An invalidated partition may still have them. */
  taken: CpuSet | undefined;
  /** An invalid partition that has its CPUs and was written to since: its processes run on what its parent had at that time, whoever has it now. */
  strayed: CpuSet | undefined;
  processes: number;
}

export function group(path: string, parent: Group | undefined): Group {
  return {
    path,
    parent,
    children: new Map(),
    cpus: CpuSet.empty,
    exclusive: CpuSet.empty,
    type: "member",
    valid: true,
    why: "",
    taken: undefined,
    strayed: undefined,
    processes: 0,
  };
}

export function* tree(one: Group): Generator<Group> {
  yield one;
  for (const child of one.children.values()) yield* tree(child);
}

/** A mask that leaves nothing counts as none. */
export function below(one: Group, above: CpuSet): CpuSet {
  const own = one.cpus.intersect(above);
  return own.isEmpty ? above : own;
}

export function siblings(one: Group): Group[] {
  return [...(one.parent?.children.values() ?? [])].filter((other) => other !== one);
}

export function isPopulated(one: Group): boolean {
  return [...tree(one)].some((each) => each.processes > 0);
}

export function isAlone(one: Group): boolean {
  return one.valid && one.type !== "member";
}

/** What the lists of the cgroup and of its ancestors grant; the root grants everything. */
export function granted(one: Group): CpuSet {
  const own = one.exclusive.isEmpty && one.taken !== undefined ? one.cpus : one.exclusive;
  return one.parent?.parent === undefined ? own : own.intersect(granted(one.parent));
}

/** Whether files of these values would break what siblings may expect of each other. */
export function conflicts(one: Group, trial: { cpus: CpuSet; exclusive: CpuSet; alone: boolean }): boolean {
  const wanted = trial.exclusive.isEmpty ? trial.cpus : trial.exclusive;
  return siblings(one).some((other) => {
    const lists = !trial.exclusive.isEmpty && !other.exclusive.isEmpty;
    if (trial.alone || isAlone(other) || lists)
      return wanted.overlaps(other.exclusive.isEmpty ? other.cpus : other.exclusive);
    if (!trial.exclusive.isEmpty) return !other.cpus.isEmpty && other.cpus.isSubsetOf(trial.exclusive);
    if (!other.exclusive.isEmpty) return !trial.cpus.isEmpty && trial.cpus.isSubsetOf(other.exclusive);
    return false;
  });
}
