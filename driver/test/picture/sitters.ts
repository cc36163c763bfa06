import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import {
  AllocationState,
  ContainerPhase,
  ContainerRole,
  StateSchema,
  type ContainerSchema,
  type State,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { cpusOf, type Entry } from "../../src/ledger/ledger.ts";
import { paint, type Sitters } from "../../src/picture/paint.ts";
import type { Picture } from "../../src/picture/picture.ts";
import { SysfsOverlay } from "../../src/sysfs/tree.ts";
import { readMachine } from "../../src/topology/read.ts";
import { twoSockets } from "../topology/machines.ts";

export const NOW = 1_700_000_000_000;

export function held(name: string, cpus: string, more: Partial<Entry> = {}): Entry {
  return {
    claim: { uid: `uid-${name}`, namespace: "shop", name },
    phase: "prepared",
    consumers: [{ resource: "pods", uid: `pod-${name}`, name: `pod-${name}` }],
    shares: [{ request: "cpus", pool: "n", device: "cpudevnuma000", cpus: CpuSet.parse(cpus) }],
    idle: CpuSet.empty,
    isolated: false,
    results: [],
    operationId: "op",
    ...more,
  };
}

type ContainerInit = MessageInitShape<typeof ContainerSchema>;

/** A running container; `effective` is what it wants where nothing else is said. */
export function running(pod: string, wanted: string, claim = "", effective = wanted): ContainerInit {
  return {
    ref: { id: `id-${pod}`, name: "main", podUid: `pod-${pod}`, podNamespace: "shop", podName: pod },
    phase: ContainerPhase.RUNNING,
    role: claim === "" ? ContainerRole.SHARED : ContainerRole.CLAIM,
    claimUids: claim === "" ? [] : [`uid-${claim}`],
    mask: { wanted, sent: wanted, effective, readMs: BigInt(NOW - 400) },
  };
}

/** An agent that knows these claims as the driver does. */
export function agentOf(entries: readonly Entry[], containers: readonly ContainerInit[]): State {
  return create(StateSchema, {
    agentVersion: "9",
    truth: 3,
    nri: { state: 4 },
    lever: 2,
    nowMs: BigInt(NOW - 100),
    allocations: entries.map((entry) => ({
      claim: { ...entry.claim },
      state: AllocationState.PREPARED,
      shares: [{ request: "cpus", cpus: cpusOf(entry).toString() }],
    })),
    containers: [...containers],
  });
}

/** Two sockets of four cores, SMT 2. */
export function picture(now: Partial<Sitters> & { readonly machineText?: string } = {}): Picture {
  const machine = now.machine ?? readMachine(SysfsOverlay.parse(now.machineText ?? twoSockets(), undefined));
  const claims = now.claims ?? [];
  return paint({
    node: "n",
    nowMs: NOW,
    machine,
    reserved: CpuSet.empty,
    keepShared: CpuSet.of(0),
    driver: { isRunning: true, version: "9", why: "" },
    findings: [],
    agent: agentOf(claims, []),
    agentWhy: "",
    ...now,
    claims,
  });
}
