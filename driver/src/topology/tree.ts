import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { push } from "./files.ts";
import type { Machine } from "./machine.ts";
import { nestedUnits, type Unit } from "./units.ts";

/** Sets shown of folded units; of more, the first ones and the last. */
const SHOWN = 4;

/** The machine as an indented tree; units that are alike are folded, with the CPUs of each. */
export function machineTree(machine: Machine): string {
  const top = nestedUnits(machine);
  const threads = new Set(machine.cores.map((core) => core.cpus.size));
  return [
    `Machine: ${count(machine.online.size, "CPU")}, ${count(machine.cores.length, "core")}, SMT ${[...threads].sort((a, b) => a - b).join(" and ")}`,
    ...lines(top.children, "  ", true),
    ...machine.numaNodes
      .filter((node) => node.cpus.isEmpty)
      .slice(0, 1)
      .map(() => `  NUMA nodes without CPUs: ${withoutCpus(machine)}`),
    ...distances(machine),
    ...told("classes", classes(machine)),
    ...told("offline", machine.present.minus(machine.online).toString()),
    ...told("isolated", machine.isolated.toString()),
    ...told("nohz_full", machine.nohzFull.toString()),
    ...machine.unknowns.map((one) => `unknown: ${one}`),
  ].join("\n");
}

function told(what: string, text: string): string[] {
  return text === "" ? [] : [`${what}: ${text}`];
}

function lines(units: readonly Unit[], indent: string, withCpus: boolean): string[] {
  const alike = new Map<string, Unit[]>();
  for (const unit of [...units].sort((a, b) => a.cpus.first - b.cpus.first)) push(alike, shape(unit), unit);
  return [...alike.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const many = group.length > 1;
    const names = first.names.map(({ kind, more }, n) => {
      const ids = group.map((unit) => unit.names[n]?.id ?? -1);
      const suffix = more === "" ? "" : ` (${more})`;
      return kind === "Core" || (many && !withCpus) ? `${kind}${suffix}` : `${kind} ${list(ids)}${suffix}`;
    });
    const each = first.names.at(-1)?.kind === "Core" ? ` of ${count(first.cpus.size, "thread")}` : many ? ", each" : "";
    const cpus = withCpus
      ? `: ${shown(group.map((unit) => unit.cpus.toString()))}`
      : `: ${count(first.cpus.size, "CPU")}`;
    const leaf = first.children.length === 0;
    return [
      `${indent}${many ? `${group.length} x ` : ""}${names.join(" + ")}${each}${leaf && !withCpus ? "" : cpus}`,
      ...lines(first.children, `${indent}  `, withCpus && !many),
    ];
  });
}

/** What makes units alike: kinds, sizes, and the same of all below. What holds NUMA nodes stands alone, since these are looked for by id. */
function shape(unit: Unit): string {
  if (unit.children.some((child) => child.names.some(({ kind }) => kind === "NUMA node"))) return unit.cpus.toString();
  const below = new Map<string, number>();
  for (const child of unit.children) below.set(shape(child), (below.get(shape(child)) ?? 0) + 1);
  const names = unit.names.map(({ kind, more }) => `${kind} ${more}`).join("+");
  return `${names} ${unit.cpus.size} [${[...below].map(([one, n]) => `${n} ${one}`).join(";")}]`;
}

function shown(texts: readonly string[]): string {
  return texts.length <= SHOWN
    ? texts.join(" | ")
    : `${texts.slice(0, SHOWN - 1).join(" | ")} | ... | ${texts.at(-1) ?? ""}`;
}

/** As a kernel list where ids allow it. */
function list(ids: readonly number[]): string {
  if (ids.length > 1 && new Set(ids).size === ids.length && ids.every((id) => id >= 0 && id < 16384))
    return CpuSet.from(ids).toString();
  return shown([...new Set(ids)].map((id) => (id < 0 ? "?" : String(id))));
}

function withoutCpus(machine: Machine): string {
  return CpuSet.from(machine.numaNodes.filter((node) => node.cpus.isEmpty).map((node) => node.id)).toString();
}

/** Of NUMA nodes with CPUs: for each distance, how many pairs have it, or the matrix where it is small. */
function distances(machine: Machine): string[] {
  const nodes = machine.numaNodes.filter((node) => !node.cpus.isEmpty);
  if (nodes.length < 2 || nodes.length > 16) return [];
  return [
    `distances of NUMA nodes ${list(nodes.map((node) => node.id))}:`,
    ...nodes.map(
      (node) => `  ${nodes.map((other) => String(node.distances.get(other.id) ?? "?").padStart(3)).join(" ")}`,
    ),
  ];
}

function classes(machine: Machine): string {
  const found = new Map<string, number[]>();
  for (const cpu of machine.cpus) push(found, cpu.coreType, cpu.id);
  if (found.size === 1 && found.has("standard")) return "";
  return [...found].map(([type, ids]) => `${type} ${CpuSet.from(ids).toString()}`).join(", ");
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
