import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { Lever, SessionState, Truth, type State } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { Entry } from "../ledger/ledger.ts";
import type { Machine } from "../topology/machine.ts";
import { nestedUnits, type Unit } from "../topology/units.ts";
import { claimViews, knownClaims, type Known } from "./claims.ts";
import { containerViews, word } from "./containers.ts";
import { agentFindings, claimFindings, containerFindings } from "./findings.ts";
import {
  PICTURE_LAYOUT,
  type AgentView,
  type BoxView,
  type ContainerView,
  type DriverView,
  type FindingView,
  type Picture,
  type ThreadView,
  type Use,
} from "./picture.ts";

export interface Sitters {
  readonly node: string;
  readonly nowMs: number;
  readonly machine: Machine;
  readonly reserved: CpuSet;
  readonly keepShared: CpuSet;
  readonly driver: DriverView;
  readonly claims: readonly Entry[];
  /** What the driver has to say about itself. */
  readonly findings: readonly Finding[];
  readonly agent: State | undefined;
  /** Why the agent did not answer. */
  readonly agentWhy: string;
}

/** Draws the node. The agent's words about the kernel are compared with the driver's about claims; what differs becomes a finding. */
export function paint(now: Sitters): Picture {
  const { machine, agent } = now;
  const known = knownClaims(now.claims, agent?.allocations ?? []);
  const containers = containerViews(agent?.containers ?? []);
  const findings = [
    ...now.findings,
    // The driver does not reach the agent for the same reason.
    ...agentFindings(agent, now.agentWhy, now.driver.isRunning ? now.driver.version : ""),
    ...claimFindings(known, machine, agent),
    ...containerFindings(containers),
  ];
  // The driver itself may have said the same of a claim.
  const isNew = ({ text }: Finding, n: number): boolean => findings.findIndex((one) => one.text === text) === n;
  if (!now.driver.isRunning) findings.unshift({ code: CODES.driverAway, text: now.driver.why });
  const held = CpuSet.union(known.map(({ cpus }) => cpus));
  const draining = CpuSet.union(known.filter(isDraining).map(({ cpus }) => cpus));
  return {
    layout: PICTURE_LAYOUT,
    node: now.node,
    asOfMs: now.nowMs,
    driver: now.driver,
    agent: agentView(agent, now.agentWhy),
    machine: {
      about: about(machine),
      online: machine.online.toString(),
      present: machine.present.toString(),
      isolated: machine.isolated.toString(),
      reserved: now.reserved.toString(),
      keepShared: now.keepShared.toString(),
      shared: agent?.pool?.shared ?? machine.online.minus(now.reserved).minus(held).toString(),
      held: held.toString(),
      draining: draining.toString(),
      boxes: nestedUnits(machine).children.map(box).sort(byFirst),
    },
    threads: threads(now, known, containers),
    claims: claimViews(known, machine),
    containers,
    findings: findings.filter(isNew).map(findingView),
  };
}

export function findingView({ code, text }: Finding): FindingView {
  return { code: code.id, title: code.title, severity: code.severity, text, action: code.action };
}

function isDraining({ entry, held }: Known): boolean {
  return entry === undefined ? held?.state === 3 : entry.phase === "draining";
}

function threads(now: Sitters, known: readonly Known[], containers: readonly ContainerView[]): ThreadView[] {
  const { machine, reserved, keepShared } = now;
  const wrong = new Map<number, string[]>();
  const say = (cpus: CpuSet, text: string): void => {
    for (const cpu of cpus) wrong.set(cpu, [...(wrong.get(cpu) ?? []), text]);
  };
  for (const one of containers)
    if (one.outside !== "")
      say(CpuSet.parse(one.outside), `${one.namespace}/${one.pod}/${one.name} may run here and should not`);
  let taken = CpuSet.empty;
  for (const { cpus } of known) {
    say(cpus.intersect(taken), "two claims hold this CPU");
    taken = taken.union(cpus);
  }
  return [...machine.present.union(machine.online)].map((cpu) => {
    const owner = known.find((one) => one.cpus.has(cpu));
    const use: Use = !machine.online.has(cpu)
      ? "offline"
      : owner !== undefined
        ? isDraining(owner)
          ? "draining"
          : owner.idle.has(cpu)
            ? "idle"
            : "claim"
        : reserved.has(cpu)
          ? "reserved"
          : keepShared.has(cpu)
            ? "kept"
            : "shared";
    const said = wrong.get(cpu);
    return {
      cpu,
      use,
      ...(owner === undefined ? {} : { claim: owner.uid }),
      ...(machine.isolated.has(cpu) ? { isolated: true as const } : {}),
      ...(said === undefined ? {} : { wrong: said }),
    };
  });
}

function box(unit: Unit): BoxView {
  const names = unit.names.map(
    ({ kind, id, more }) => `${kind} ${id < 0 ? "?" : id}${more === "" ? "" : ` (${more})`}`,
  );
  return {
    names,
    kind: unit.names.at(-1)?.kind ?? "",
    cpus: unit.cpus.toString(),
    boxes: unit.children.map(box).sort(byFirst),
  };
}

function byFirst(a: BoxView, b: BoxView): number {
  return CpuSet.parse(a.cpus).first - CpuSet.parse(b.cpus).first;
}

function about(machine: Machine): string {
  const smt = [...new Set(machine.cores.map((core) => core.cpus.size))].sort((a, b) => a - b).join(" and ");
  const count = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
  const numa = machine.numaNodes.filter((node) => !node.cpus.isEmpty).length;
  return [
    count(machine.online.size, "CPU"),
    count(machine.cores.length, "core"),
    `SMT ${smt}`,
    count(machine.sockets.length, "socket"),
    count(numa, "NUMA node"),
    count(machine.l3s.length, "L3"),
  ].join(", ");
}

function agentView(agent: State | undefined, why: string): AgentView {
  const counters = agent?.counters;
  return {
    isRunning: agent !== undefined,
    why,
    version: agent?.agentVersion ?? "",
    asOfMs: Number(agent?.nowMs ?? 0n),
    truth: agent === undefined ? "" : word(Truth, agent.truth),
    runtime: agent === undefined ? "" : `${agent.runtime?.name ?? ""} ${agent.runtime?.version ?? ""}`.trim(),
    nriVersion: agent?.nri?.nriVersion ?? "",
    session: agent === undefined ? "" : word(SessionState, agent.nri?.state ?? 0),
    sessionWhy: agent?.nri?.why ?? "",
    sessionSinceMs: Number(agent?.nri?.sinceMs ?? 0n),
    lever: agent === undefined ? "" : word(Lever, agent.lever),
    leverWhy: agent?.leverWhy ?? "",
    safeToRestart: agent?.safeToRestart ?? true,
    safeToRestartWhy: agent?.safeToRestartWhy ?? "",
    counters: {
      escapes: Number(counters?.escapes ?? 0n),
      repairs: Number(counters?.repairs ?? 0n),
      refusals: Number(counters?.refusals ?? 0n),
      reconnects: Number(counters?.reconnects ?? 0n),
      lostUpdates: Number(counters?.lostUpdates ?? 0n),
    },
    truncated: agent?.truncated ?? false,
  };
}
