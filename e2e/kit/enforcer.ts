import { create } from "@bufbuild/protobuf";
import { Enforcer } from "@dracpu/nri-agent/enforce/enforcer.ts";
import type { RuntimeCalls } from "@dracpu/nri-agent/enforce/hooks.ts";
import type { AgentMemory, CgroupPort, Clock, EventRing, Levers, MemoryPort } from "@dracpu/nri-agent/enforce/ports.ts";
import type { SessionReport } from "@dracpu/nri-agent/enforce/view.ts";
import type { MarkNames } from "@dracpu/nri-agent/truth/marks.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import * as names from "@dracpu/shared-proto/contract/names.ts";
import { EventSchema, type Event } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import { ContainerState, type Container, type PodSandbox } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { ContainerSchema, PodSandboxSchema } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { Ring } from "@dracpu/shared-proto/observe/ring.ts";
import { MemoryCgroup } from "./memorycgroup.ts";

/** What a test plays to the agent's decisions. */
export interface Played {
  readonly cgroup: CgroupPort;
  readonly clock: Clock;
  readonly levers: Levers;
  readonly memory: MemoryPort;
  readonly ring: Ring<Event>;
  readonly calls: RuntimeCalls;
  readonly canUpdate: boolean;
  online(): CpuSet | undefined;
  state(): SessionReport["state"];
  count(name: string): void;
  warn?(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** The agent's decisions as they are, on what a test plays. */
export function enforcerOn(played: Played): Enforcer {
  const { ring } = played;
  const events: EventRing = {
    get lastSeq() {
      return ring.lastSeq;
    },
    after: (seq) => ring.after(seq),
    subscribe: (listener) => ring.subscribe(listener),
    add: (event) => ring.push((seq) => create(EventSchema, { ...event, seq })),
  };
  return new Enforcer({
    cgroup: played.cgroup,
    machine: { online: () => played.online(), memoryNodes: () => "" },
    levers: played.levers,
    memory: played.memory,
    usage: {
      busyMs: () => Promise.resolve(new Map()),
      usedMs: () => Promise.resolve(undefined),
      outsideMs: () => Promise.resolve(new Map()),
    },
    threads: { root: "", behind: () => Promise.resolve({ seen: 0, behind: new Map() }) },
    foreignLoad: 0,
    clock: played.clock,
    observer: {
      info: () => {},
      warn: (message, fields) => played.warn?.(message, fields),
      error: (message, fields) => played.warn?.(message, fields),
      count: (name) => played.count(name),
      refused: (reason) => played.count(reason),
      moved: () => {},
    },
    events,
    calls: played.calls,
    names: MARK_NAMES,
    identity: { instance: "agent-1", version: "0", protocolMin: 1, protocolMax: 1, features: [] },
    ownPodUid: "own",
    factsOf: () => ({ cdiVisible: true, canUpdate: played.canUpdate }),
    session: () => ({
      state: played.state(),
      since: 0,
      why: "",
      canUpdate: played.canUpdate,
      connections: 1,
      hasNoSocket: false,
    }),
    tally: () => ({ escapes: 0, repairs: 0, refusals: 0, lostUpdates: 0 }),
  });
}

const MARK_NAMES: MarkNames = {
  cdiKind: names.CDI_KIND,
  envPrefix: names.CPUSET_ENV_PREFIX,
  shareEnvPrefix: names.CPUSHARE_ENV_PREFIX,
  cpusVariable: names.CPUS_ENV,
  gatePaths: names.GATE_PATHS,
  annotation: names.MARK_ANNOTATION,
};

/** The agent's decisions in this process: real but for the cgroups, the file and the runtime, which a test plays. */
export class TestAgent {
  readonly cgroup = new MemoryCgroup();
  readonly saved: AgentMemory[] = [];
  readonly enforcer: Enforcer;
  readonly #ring = new Ring<Event>(64);
  readonly counts: Record<string, number> = {};
  diskFull = false;
  /** As the kernel tells; by default it does not. */
  online: CpuSet | undefined;
  #state: SessionReport["state"] = "away";

  constructor(restored?: AgentMemory, force: "kernel" | "file" = "file") {
    this.enforcer = enforcerOn({
      cgroup: this.cgroup,
      online: () => this.online,
      levers: { force, masks: "file", why: force === "kernel" ? "" : "test" },
      memory: {
        save: async (memory) => {
          await Promise.resolve();
          if (this.diskFull) throw new Error("Cannot write agent.json: the disk is full; free space on it");
          this.saved.push(memory);
        },
      },
      clock: {
        now: () => performance.now(),
        unix: () => Date.now(),
        later: (ms, task) => {
          const timer = setTimeout(task, ms);
          timer.unref();
          return () => clearTimeout(timer);
        },
        yield: () => new Promise((resolve) => setImmediate(resolve)),
      },
      ring: this.#ring,
      calls: { updateContainers: () => Promise.resolve() },
      canUpdate: false,
      state: () => this.#state,
      count: (name) => (this.counts[name] = (this.counts[name] ?? 0) + 1),
    });
    if (restored !== undefined) this.enforcer.restore(restored);
  }

  /** What it has told so far, oldest first. */
  events(): string[] {
    return this.#ring.after(0n).events.map((event) => event.message);
  }

  /** A session that lists these containers. */
  async connect(pods: readonly PodSandbox[] = [], containers: readonly Container[] = []): Promise<void> {
    this.enforcer.hooks.sessionConfigured({
      id: "session-1",
      runtime: { name: "containerd", version: "2.4.2", nriVersion: "0.12.3", requestTimeoutMs: 2000 },
    });
    this.#state = "synchronized";
    await this.enforcer.hooks.synchronize(pods, containers);
  }
}

export function pod(uid: string): PodSandbox {
  return create(PodSandboxSchema, { id: `sandbox-${uid}`, uid, name: uid, namespace: "default" });
}

/** What the CDI devices of claims bring along; nobody believes its value. */
export function cdiEnv(ids: readonly string[]): string[] {
  const uids = ids.flatMap((id) => /^[^=]+=claim-(.{36})/.exec(id)?.[1] ?? []);
  return uids.map((uid) => `${names.CPUSET_ENV_PREFIX}${uid}=0`);
}

/** A running container of a pod, in `/kubepods/<pod>/<id>`. */
export function container(
  podUid: string,
  id: string,
  more: { cdi?: string[]; env?: string[]; annotations?: Record<string, string>; gate?: boolean } = {},
): Container {
  return create(ContainerSchema, {
    id,
    podSandboxId: `sandbox-${podUid}`,
    name: id,
    state: ContainerState.CONTAINER_RUNNING,
    env: [...cdiEnv(more.cdi ?? []), ...(more.env ?? [])],
    annotations: more.annotations ?? {},
    mounts: more.gate === true ? [{ destination: names.GATE_PATH }] : [],
    linux: { cgroupsPath: `/kubepods/${podUid}/${id}` },
    CDIDevices: (more.cdi ?? []).map((name) => ({ name })),
  });
}
