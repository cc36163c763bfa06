import { create } from "@bufbuild/protobuf";
import type { Code, Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { allocationToWire, machineToWire } from "@dracpu/shared-proto/contract/wire.ts";
import type { GetStateRequest } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import {
  ContainerPhase,
  ContainerRole,
  ContainerSchema,
  CountersSchema,
  HeldSchema,
  Lever,
  NriSessionSchema,
  PoolSchema,
  RuntimeSchema,
  SessionState,
  StateSchema,
  Truth,
  type Container,
  type NriSession,
  type State,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ContainerRecord } from "../masks/container.ts";
import { nriAbilities } from "../nri/version.ts";
import type { Truth as TruthWord } from "../truth/admit.ts";
import type { NodeKnowledge } from "./node.ts";
import { wireRef } from "./sayings.ts";

/** How the connection to the runtime is, as the runtime edge says. */
export interface SessionReport {
  readonly state: "away" | "connecting" | "waiting-for-synchronize" | "synchronized";
  /** Unix milliseconds. */
  readonly since: number;
  readonly why: string;
  readonly canUpdate: boolean;
  readonly connections: number;
  /** There has been no socket since the agent started, and for too long to be a restart of the runtime. */
  readonly hasNoSocket: boolean;
}

export interface Tally {
  readonly escapes: number;
  readonly repairs: number;
  readonly refusals: number;
  readonly lostUpdates: number;
}

const DEFAULT_MAX_CONTAINERS = 1000;

const TRUTHS: Readonly<Record<TruthWord, Truth>> = {
  none: Truth.NONE,
  restored: Truth.RESTORED,
  confirmed: Truth.CONFIRMED,
};
const LEVERS = { kernel: Lever.KERNEL, file: Lever.FILE, runtime: Lever.RUNTIME } as const;
const PHASES = {
  created: ContainerPhase.CREATED,
  starting: ContainerPhase.STARTING,
  running: ContainerPhase.RUNNING,
  stopped: ContainerPhase.STOPPED,
} as const;
const ROLES = {
  shared: ContainerRole.SHARED,
  claim: ContainerRole.CLAIM,
  "unknown-claim": ContainerRole.UNKNOWN_CLAIM,
  own: ContainerRole.OWN,
} as const;
const SESSIONS = {
  away: SessionState.AWAY,
  connecting: SessionState.CONNECTING,
  "waiting-for-synchronize": SessionState.WAITING_FOR_SYNCHRONIZE,
  synchronized: SessionState.SYNCHRONIZED,
} as const;

export function truthMessage(truth: TruthWord): Truth {
  return TRUTHS[truth];
}

export function sessionMessage(node: NodeKnowledge, report: SessionReport): NriSession {
  return create(NriSessionSchema, {
    sessionId: node.session?.id ?? "",
    nriVersion: node.session?.runtime.nriVersion ?? "",
    state: SESSIONS[report.state],
    sinceMs: BigInt(report.since),
    why: report.why,
    canUpdate: report.canUpdate,
    connections: report.connections,
  });
}

/** The whole state as people and the driver see it: a projection of memory, reading nothing. */
export function stateOf(
  node: NodeKnowledge,
  facts: {
    readonly instance: string;
    readonly version: string;
    readonly session: SessionReport;
    readonly tally: Tally;
    /** What else people should know of. */
    readonly others: readonly Finding[];
    readonly lastSeq: bigint;
    readonly now: number;
  },
  filter: GetStateRequest,
): State {
  const pool = node.pool();
  const held = node.heldCpus();
  const max = filter.maxContainers === 0 ? DEFAULT_MAX_CONTAINERS : filter.maxContainers;
  const matching = [...node.containers.values()].filter((container) => matches(container, filter));
  const draining = [...node.claims()].filter((claim) => claim.state === "draining" && !node.isDrained(claim));
  const problems = problemsOf(node, facts.session, facts.others);
  const stopping = [...node.containers.values()].find((container) => container.stopping);
  return create(StateSchema, {
    agentInstance: facts.instance,
    agentVersion: facts.version,
    truth: truthMessage(node.truth),
    held: create(HeldSchema, { epoch: node.held.epoch, revision: node.held.revision, digest: node.held.digest }),
    ...(node.machine === undefined ? {} : { machine: machineToWire(node.machine) }),
    runtime: create(RuntimeSchema, {
      name: node.session?.runtime.name ?? "",
      version: node.session?.runtime.version ?? "",
    }),
    nri: sessionMessage(node, facts.session),
    lever: LEVERS[node.levers.force],
    leverWhy: node.levers.why,
    pool: create(PoolSchema, {
      // With the kernel lever masks name claims' CPUs too, which the kernel takes out of them.
      shared: (pool?.source === "online" ? pool.shared : pool?.shared.minus(held))?.toString() ?? "",
      held: held.toString(),
      draining: CpuSet.union(draining.flatMap((claim) => claim.shares.map((share) => share.cpus))).toString(),
      fellBack: pool !== undefined && pool.source !== "pool",
    }),
    allocations: [...node.claims()]
      .filter((claim) => filter.claimUid === "" || claim.claim.uid === filter.claimUid)
      .map((claim) => allocationToWire(settled(claim, node))),
    containers: matching.slice(0, max).map((one) => containerMessage(one, node)),
    counters: create(CountersSchema, {
      escapes: BigInt(facts.tally.escapes),
      repairs: BigInt(facts.tally.repairs),
      refusals: BigInt(facts.tally.refusals),
      lostUpdates: BigInt(facts.tally.lostUpdates),
      reconnects: BigInt(Math.max(0, facts.session.connections - 1)),
    }),
    asOfSeq: facts.lastSeq,
    nowMs: BigInt(facts.now),
    safeToRestart: stopping === undefined,
    safeToRestartWhy:
      stopping === undefined
        ? ""
        : `container ${stopping.ref.name} of pod ${stopping.ref.podNamespace}/${stopping.ref.podName} is in its termination grace; a reconnect would stall pod starts until it is over`,
    truncated: matching.length > max,
    problems: problems.map((one) => one.text),
    problemCodes: problems.map((one) => one.code.id),
  });
}

/** The driver does not tell when a Prepare came to its end; a container does, which the kubelet has made only then. */
function settled(claim: AllocationRecord, node: NodeKnowledge): AllocationRecord {
  const isPrepared = claim.state === "preparing" && node.containersOf(claim.claim.uid).length > 0;
  return isPrepared ? { ...claim, state: "prepared" } : claim;
}

/** All that people should know of. */
export function problemsOf(node: NodeKnowledge, session: SessionReport, others: readonly Finding[]): Finding[] {
  const problems = [...hindrancesOf(node, session), ...others];
  const add = (code: Code, text: string): number => problems.push({ code, text });
  const source = node.pool()?.source;
  if (source === "reserved")
    add(CODES.poolFellBack, "Claims take every other CPU: the shared pool uses the reserved CPUs; raise --keep-shared");
  if (source === "online")
    add(CODES.poolOverlaps, "Claims take every CPU: the shared pool overlaps them; raise --keep-shared");
  const runtime = node.session?.runtime;
  if (runtime !== undefined && !nriAbilities(runtime).cdiVisible)
    add(CODES.runtimeOld, `${runtime.name} ${runtime.version} shows no CDI devices by NRI`);
  return problems;
}

/** What keeps the agent from its work: it is not ready. */
function hindrancesOf(node: NodeKnowledge, session: SessionReport): Finding[] {
  const problems: Finding[] = [];
  const add = (code: Code, text: string): number => problems.push({ code, text });
  if (session.hasNoSocket) add(CODES.nriOff, session.why);
  else if (session.state !== "synchronized")
    add(CODES.sessionAway, `No synchronized NRI session with the container runtime: ${session.why}`);
  if (node.truth === "none")
    add(CODES.noTruth, "No driver has told yet which claims there are; claim containers are refused until it does");
  if (node.truth === "restored")
    add(CODES.unconfirmed, "Claims are known from the agent's own file only; the driver has not confirmed them yet");
  return problems;
}

function matches(container: ContainerRecord, filter: GetStateRequest): boolean {
  const { ref } = container;
  return (
    (filter.podUid === "" || ref.podUid === filter.podUid) &&
    (filter.podNamespace === "" || ref.podNamespace === filter.podNamespace) &&
    (filter.podName === "" || ref.podName === filter.podName) &&
    (filter.claimUid === "" || container.uses.some((use) => use.claimUid === filter.claimUid))
  );
}

function ownMask({ own }: ContainerRecord, { machine }: NodeKnowledge): CpuSet | undefined {
  return machine === undefined || own === undefined
    ? own
    : own.isEmpty
      ? machine.online
      : own.intersect(machine.online);
}

function containerMessage(container: ContainerRecord, node: NodeKnowledge): Container {
  return create(ContainerSchema, {
    ref: wireRef(container.ref),
    phase: PHASES[container.phase],
    role: ROLES[container.role],
    claimUids: [...new Set(container.uses.map((use) => use.claimUid))],
    mask: {
      wanted: container.wanted?.toString() ?? "",
      sent: container.sent?.toString() ?? "",
      effective: container.effective?.toString() ?? "",
      readMs: BigInt(container.readAt),
      own: ownMask(container, node)?.toString() ?? "",
    },
    partition: container.partitionText,
    cgroup: container.cgroup ?? "",
    problem: [container.confined, container.problem].filter((text) => text !== "").join("; "),
    problemCode: container.problem !== "" ? CODES.maskFailed.id : container.confined !== "" ? CODES.confined.id : "",
  });
}
