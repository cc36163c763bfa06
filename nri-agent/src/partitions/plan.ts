import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

/**
 * Rules of remote cpuset partitions (kernel >= 6.7, Documentation/admin-guide/cgroup-v2.rst "cpuset.cpus.exclusive"):
 * every ancestor's `cpuset.cpus.exclusive` must contain the partition's, siblings' sets must not overlap, and the
 * ancestors' lists stay when the partition's cgroup is gone. So ancestors' lists are a function of the living partitions.
 */
export interface Partition {
  /** cgroup path below the cgroup root, such as `/kubepods/besteffort/pod1/abc`. */
  readonly path: string;
  readonly cpus: CpuSet;
}

/** The cgroup above; "" for the root, and for those right below it. */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

/** Ancestors of a cgroup, top first, without the root and without itself. */
export function ancestorsOf(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "");
  const found: string[] = [];
  for (let n = 1; n < parts.length; n++) found.push(`/${parts.slice(0, n).join("/")}`);
  return found;
}

/**
 * What each ancestor's `cpuset.cpus.exclusive` has to be: the union over the living partitions below it, and its own where it is a
 * partition itself.
 */
export function exclusiveLists(partitions: Iterable<Partition>): Map<string, CpuSet> {
  const lists = new Map<string, CpuSet>();
  const all = [...partitions];
  for (const partition of all) {
    for (const path of ancestorsOf(partition.path)) {
      lists.set(path, (lists.get(path) ?? CpuSet.empty).union(partition.cpus));
    }
  }
  for (const { path, cpus } of all) {
    const below = lists.get(path);
    if (below !== undefined) lists.set(path, below.union(cpus));
  }
  return lists;
}

/** Writes that turn `found` (as read from the kernel) into `wanted`: shrinks deepest first, then growths top first. */
export function listWrites(
  wanted: ReadonlyMap<string, CpuSet>,
  found: ReadonlyMap<string, CpuSet>,
): readonly { readonly path: string; readonly cpus: CpuSet }[] {
  const depth = (path: string): number => path.split("/").length;
  const shrinks: { path: string; cpus: CpuSet }[] = [];
  const growths: { path: string; cpus: CpuSet }[] = [];
  for (const [path, have] of found) {
    const want = wanted.get(path) ?? CpuSet.empty;
    if (!have.isSubsetOf(want)) shrinks.push({ path, cpus: have.intersect(want) });
  }
  for (const [path, want] of wanted) {
    const have = (found.get(path) ?? CpuSet.empty).intersect(want);
    if (!have.equals(want)) growths.push({ path, cpus: want });
  }
  shrinks.sort((a, b) => depth(b.path) - depth(a.path));
  growths.sort((a, b) => depth(a.path) - depth(b.path));
  return [...shrinks, ...growths];
}

export type PartitionReading =
  | { readonly kind: "valid"; readonly type: "root" | "isolated" }
  | { readonly kind: "invalid"; readonly type: "root" | "isolated"; readonly why: string }
  | { readonly kind: "member" };

/** Reads `cpuset.cpus.partition`: `member`, `root`, `isolated`, `root invalid (why)`, `isolated invalid (why)`. */
export function readPartition(text: string): PartitionReading {
  const trimmed = text.trim();
  if (trimmed === "root" || trimmed === "isolated") return { kind: "valid", type: trimmed };
  const m = /^(root|isolated) invalid(?: \((.*)\))?$/.exec(trimmed);
  if (m !== null) {
    return {
      kind: "invalid",
      type: m[1] === "root" ? "root" : "isolated",
      why: m[2] ?? "the kernel gives no reason; a mask of a cgroup beside it may meet its CPUs",
    };
  }
  return { kind: "member" };
}
