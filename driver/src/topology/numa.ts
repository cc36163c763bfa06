import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { NODE, push, type Reader } from "./files.ts";
import type { Cpu, NumaNode } from "./machine.ts";

/** The NUMA node of each CPU: from the nodes' lists, which hold no offline CPU, else from the `nodeN` entry of the CPU. */
export function readNumaOf(reader: Reader, online: CpuSet): ReadonlyMap<number, number> {
  const found = new Map<number, number>();
  for (const id of reader.ids(NODE, "node")) {
    for (const cpu of (reader.list(`${NODE}/node${id}/cpulist`) ?? CpuSet.empty).intersect(online)) {
      const other = found.get(cpu);
      if (other === undefined) found.set(cpu, id);
      else reader.doubts.garbled(`NUMA nodes ${other} and ${id} both list them; node ${other} is taken`, cpu);
    }
  }
  for (const cpu of online) {
    const entry = found.has(cpu) ? undefined : reader.idsOf(cpu, "", "node")[0];
    if (entry !== undefined) found.set(cpu, entry);
  }
  return found;
}

export function readNumaNodes(reader: Reader, cpus: readonly Cpu[]): NumaNode[] {
  const listed = reader.ids(NODE, "node");
  const members = new Map<number, number[]>(listed.map((id) => [id, []]));
  for (const cpu of cpus) if (cpu.numa >= 0) push(members, cpu.numa, cpu.id);
  return [...members]
    .map(([id, ids]) => ({ id, cpus: CpuSet.from(ids), distances: distances(reader, id, listed) }))
    .sort((a, b) => a.id - b.id);
}

/** The kernel prints distances to online nodes in ascending order of their ids. */
function distances(reader: Reader, id: number, listed: readonly number[]): ReadonlyMap<number, number> {
  const path = `${NODE}/node${id}/distance`;
  const text = reader.text(path);
  const found = new Map<number, number>();
  if (text === undefined) return found;
  const words = text.trim().split(/\s+/);
  if (words.length !== listed.length || !words.every((word) => /^\d{1,5}$/.test(word)))
    reader.doubts.say(`${reader.tree.whereIs(path)} holds no distance to each of the ${listed.length} NUMA nodes`);
  else listed.forEach((other, n) => found.set(other, Number(words[n])));
  return found;
}
