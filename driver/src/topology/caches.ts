import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Reader } from "./files.ts";
import type { Cache } from "./machine.ts";

interface Draft {
  readonly level: number;
  readonly type: string;
  readonly id: number | undefined;
  readonly listed: CpuSet;
  readonly sizeKiB: number | undefined;
  readonly members: number[];
}

/**
 * Every cache with the CPUs that share it (Documentation/ABI/testing/sysfs-devices-system-cpu, `cache/indexN`). A CPU is in the cache that its own
 * `shared_cpu_list` names, and nowhere else of that level and type, so that lists which contradict each other still give disjoint sets.
 */
export function readCaches(reader: Reader, online: CpuSet): Cache[] {
  const drafts = new Map<string, Map<CpuSet, Draft>>();
  for (const cpu of online) for (const index of indexes(reader, cpu)) draft(reader, online, cpu, index, drafts);
  const found: Cache[] = [];
  for (const ofKind of drafts.values()) {
    const list = [...ofKind.values()];
    const told = list.every((one) => one.id !== undefined);
    // One source of ids for all: a CPU's number may be another cache's id.
    const unique = told && new Set(list.map((one) => one.id)).size === list.length;
    const { level = 0, type = "" } = list[0] ?? {};
    const name = `level ${level}${level > 2 || type === "" ? "" : ` ${type}`} cache`;
    for (const one of list)
      if (one.members.length !== one.listed.size)
        for (const cpu of one.members)
          reader.doubts.garbled(`their ${name} is shared, they say, with CPUs that do not say so`, cpu);
    if (level === 3 && told && !unique)
      reader.doubts.say("level 3 caches have one id for several; each is named after its lowest CPU");
    for (const one of list) {
      const cpus = CpuSet.from(one.members);
      const id = unique && one.id !== undefined ? one.id : (one.members[0] ?? -1);
      found.push({ level: one.level, type: one.type, id, cpus, sizeKiB: one.sizeKiB });
    }
  }
  const first = new Map(found.map((cache) => [cache, cache.cpus.first]));
  return found.sort(
    (a, b) => a.level - b.level || compare(a.type, b.type) || (first.get(a) ?? 0) - (first.get(b) ?? 0),
  );
}

function draft(
  reader: Reader,
  online: CpuSet,
  cpu: number,
  index: string,
  drafts: Map<string, Map<CpuSet, Draft>>,
): void {
  const at = `cache/${index}`;
  const level = reader.number(cpu, `${at}/level`);
  const told = reader.listOf(cpu, `${at}/shared_cpu_list`);
  if (level === undefined || told === undefined) return;
  if (!told.has(cpu)) {
    reader.doubts.garbled(`${at}/shared_cpu_list does not name the CPU itself`, cpu);
    return;
  }
  const listed = reader.same(told.intersect(online));
  const type = reader.textOf(cpu, `${at}/type`)?.trim() ?? "";
  // Above level 2 there is one kind, also where the type is missing.
  const kind = level > 2 ? `${level}` : `${level} ${type}`;
  const ofKind = drafts.get(kind) ?? new Map<CpuSet, Draft>();
  drafts.set(kind, ofKind);
  const known = ofKind.get(listed);
  if (known !== undefined) {
    if (known.members.at(-1) !== cpu) known.members.push(cpu);
    return;
  }
  ofKind.set(listed, {
    level,
    type,
    id: reader.number(cpu, `${at}/id`),
    listed,
    sizeKiB: kibibytes(reader.textOf(cpu, `${at}/size`)),
    members: [cpu],
  });
}

function indexes(reader: Reader, cpu: number): string[] {
  return reader.idsOf(cpu, "/cache", "index").map((id) => `index${id}`);
}

/** The kernel prints `32768K`; "0K" where it does not know. */
function kibibytes(text: string | undefined): number | undefined {
  const m = /^(\d{1,9})K$/.exec(text?.trim() ?? "");
  return m === null || Number(m[1]) === 0 ? undefined : Number(m[1]);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
