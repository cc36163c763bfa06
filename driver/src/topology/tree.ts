import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { push } from "./files.ts";
import { cpuOf, type Machine } from "./machine.ts";

/** Something that holds CPUs. Units with the same CPUs are one line. */
interface Unit {
  /** Outermost first, such as `Socket` and `NUMA node`, with their ids and what is said of them. */
  readonly names: { readonly kind: string; readonly id: number; readonly more: string }[];
  readonly cpus: CpuSet;
  readonly children: Unit[];
}

/** Sets shown of folded units; of more, the first ones and the last. */
const SHOWN = 4;

/** The machine as an indented tree; units that are alike are folded, with the CPUs of each. */
export function machineTree(machine: Machine): string {
  const top: Unit = { names: [], cpus: machine.online, children: [] };
  for (const unit of unitsOf(machine)) place(top, unit);
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

function unitsOf(machine: Machine): Unit[] {
  const unit = (kind: string, id: number, cpus: CpuSet, more = ""): Unit => ({
    names: [{ kind, id, more }],
    cpus,
    children: [],
  });
  const several = machine.dies.length > machine.sockets.length;
  const wide = machine.clusters.filter((cluster) => cluster.cpus.size > 1);
  const big = machine.caches.filter((cache) => cache.level > 1 && cache.type !== "Instruction");
  const cores = machine.cores.map((core) => {
    const id = cpuOf(machine, core.cpus.first)?.coreId ?? -1;
    return unit("Core", id, core.cpus, "");
  });
  return [
    ...machine.sockets.map((one) => unit("Socket", one.id, one.cpus)),
    ...(several ? machine.dies.map((one) => unit("Die", one.id, one.cpus)) : []),
    ...machine.numaNodes.filter((one) => !one.cpus.isEmpty).map((one) => unit("NUMA node", one.id, one.cpus)),
    ...big.sort((a, b) => b.level - a.level).map((one) => unit(`L${one.level}`, one.id, one.cpus, size(one.sizeKiB))),
    ...wide.map((one) => unit("Cluster", one.id, one.cpus)),
    ...cores,
  ].sort((a, b) => b.cpus.size - a.cpus.size || rankOf(a) - rankOf(b) || a.cpus.first - b.cpus.first);
}

const KINDS = ["Socket", "Die", "NUMA node", "L4", "L3", "Cluster", "L2", "Core"];

function rankOf(unit: Unit): number {
  return KINDS.indexOf(unit.names[0]?.kind ?? "");
}

/** Into the innermost unit that holds all of it; units come largest first, so that a unit which overlaps others stays above them. */
function place(top: Unit, unit: Unit): void {
  let at = top;
  for (;;) {
    const inner = at.children.find((child) => unit.cpus.isSubsetOf(child.cpus));
    if (inner === undefined) break;
    if (inner.cpus.equals(unit.cpus)) {
      inner.names.push(...unit.names);
      return;
    }
    at = inner;
  }
  at.children.push(unit);
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

function size(sizeKiB: number | undefined): string {
  if (sizeKiB === undefined) return "";
  return sizeKiB % 1024 === 0 ? `${sizeKiB / 1024} MiB` : `${sizeKiB} KiB`;
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}
