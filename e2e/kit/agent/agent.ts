import { randomUUID } from "node:crypto";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cdiFileName, cdiId, cdiSpec } from "@dracpu/driver/cdi/spec.ts";
import { AgentClient } from "@dracpu/driver/control/agentclient.ts";
import { AGENT_SETTINGS } from "@dracpu/nri-agent/config/settings.ts";
import { digestOf } from "@dracpu/shared-proto/contract/digest.ts";
import type { AllocationRecord, MachineRecord } from "@dracpu/shared-proto/contract/records.ts";
import { allocationInit, machineToWire } from "@dracpu/shared-proto/contract/wire.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { Progress, type ClaimProgress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { createClient, type Client } from "@connectrpc/connect";
import { unixTransport } from "@dracpu/shared-proto/client/call.ts";
import { Inspect } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import type { State } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { byConfigFile } from "../configfile.ts";
import type { FakeRuntime } from "../fakeruntime/runtime.ts";
import { listens, startDaemon, until, type Daemon } from "../node/processes.ts";

export interface AgentOptions {
  /** Short; its sockets lie in it. */
  readonly dir: string;
  /** Program and first arguments: from sources, or a bundle. */
  readonly argv: readonly string[];
  readonly nriSocket: string;
  readonly cdiDir: string;
  readonly lever: "auto" | "kernel" | "file" | "runtime";
  readonly online: CpuSet;
  readonly reserved?: CpuSet;
  readonly cgroupRoot?: string;
  /** For its metrics; none by default. */
  readonly bindAddress?: string;
  /** Flags beside those that it takes to run at all. */
  readonly more?: readonly string[];
  /** By a configuration file, as in a pod. */
  readonly byFile?: boolean;
  readonly env?: NodeJS.ProcessEnv;
}

/** The agent as a process, with a test in the driver's place: it says what claims there are, and waits for them. */
export class AgentProcess {
  readonly #o: AgentOptions;
  readonly #claims = new Map<string, AllocationRecord>();
  readonly #client: AgentClient;
  readonly #inspect: string;
  readonly #inspector: Client<typeof Inspect>;
  readonly #machine: MachineRecord;
  #epoch = 0n;
  #revision = 0n;
  #starts = 0;
  #turn: Promise<void> = Promise.resolve();
  daemon: Daemon | undefined;

  constructor(options: AgentOptions) {
    this.#o = options;
    this.#client = new AgentClient(join(options.dir, "ctl", "control.sock"));
    this.#inspect = join(options.dir, "ins", "inspect.sock");
    this.#inspector = createClient(Inspect, unixTransport(this.#inspect));
    this.#machine = {
      online: options.online,
      present: options.online,
      reserved: options.reserved ?? CpuSet.empty,
      keepShared: CpuSet.empty,
      bootId: "test",
    };
  }

  /** @param lever of this life; by default that of the options. */
  start(lever = this.#o.lever): void {
    this.#starts += 1;
    const sys = this.#sysfs();
    const flags = [
      "--nri-socket",
      this.#o.nriSocket,
      "--control-socket",
      join(this.#o.dir, "ctl", "control.sock"),
      "--inspect-socket",
      this.#inspect,
      "--state-dir",
      join(this.#o.dir, "agent"),
      "--bind-address",
      this.#o.bindAddress ?? "",
      "--cgroup-root",
      this.#o.cgroupRoot ?? "/sys/fs/cgroup",
      "--sysfs-root",
      sys,
      "--lever",
      lever,
      ...(this.#o.more ?? []),
    ];
    const args = this.#o.byFile === true ? byConfigFile(AGENT_SETTINGS, flags, join(this.#o.dir, "agent.yaml")) : flags;
    this.daemon = startDaemon(`agent-${this.#starts}`, [...this.#o.argv, "run", ...args], {
      logDir: this.#o.dir,
      ...(this.#o.env === undefined ? {} : { env: this.#o.env }),
    });
  }

  /** Starts it between a driver that knows of no claim, and a played runtime that listens and has no containers. */
  async startBeside(runtime: FakeRuntime): Promise<void> {
    const plugin = runtime.plugin();
    this.start();
    await this.replace();
    await plugin;
    await runtime.synchronize([], []);
    await this.synchronized();
  }

  /** A machine that is played has as many CPUs as the test says, whatever this one has. */
  #sysfs(): string {
    if (this.#o.cgroupRoot === undefined) return "/sys";
    const sys = join(this.#o.dir, "sys");
    mkdirSync(join(sys, "devices/system/cpu"), { recursive: true });
    writeFileSync(join(sys, "devices/system/cpu/online"), `${this.#o.online.toString()}\n`);
    return sys;
  }

  /** Says Hello and gives all claims. */
  async replace(): Promise<void> {
    // A connection is asked for first: a call in vain costs a hundred times that, and an agent that loads needs the CPU.
    await until("the agent listens", () => listens(join(this.#o.dir, "ctl", "control.sock")), 20_000, 50);
    const hello = await until(
      "the agent answers",
      () => this.#client.hello({ driverInstance: "test", driverVersion: "0", protocolMin: 1, protocolMax: 1 }, soon()),
      20_000,
      50,
    );
    this.#epoch = hello.highestEpoch + 1n;
    this.#revision = 1n;
    await this.#client.replace(
      {
        epoch: this.#epoch,
        revision: this.#revision,
        machine: machineToWire(this.#machine),
        allocations: [...this.#claims.values()].map(allocationInit),
      },
      soon(),
    );
  }

  async synchronized(ms = 30_000): Promise<void> {
    await until("the NRI session is synchronized", async () => (await this.state()).nri?.state === 4, ms, 50);
  }

  async state(): Promise<State> {
    const { state } = await this.#inspector.getState({});
    if (state === undefined) throw new Error("no state");
    return state;
  }

  /**
   * A prepared claim: told to the agent, enforced, with its CDI file.
   * @returns its CDI ids by request, `*` being all of them.
   */
  async claim(
    shares: Readonly<Record<string, string>>,
    pods: readonly { readonly uid: string; readonly name: string }[],
    { isolated = false, idle = "" } = {},
  ): Promise<{ uid: string; ids: Readonly<Record<string, string>> }> {
    const uid = randomUUID();
    const record: AllocationRecord = {
      claim: { uid, namespace: "default", name: `claim-${uid.slice(0, 4)}` },
      state: "prepared",
      consumers: pods.map((pod) => ({ resource: "pods", uid: pod.uid, name: pod.name })),
      shares: Object.entries(shares).map(([request, cpus]) => ({
        request,
        pool: "n",
        device: "d",
        cpus: CpuSet.parse(cpus),
      })),
      idle: CpuSet.parse(idle),
      isolated,
      operationId: "",
    };
    mkdirSync(this.#o.cdiDir, { recursive: true });
    writeFileSync(join(this.#o.cdiDir, cdiFileName(uid)), cdiSpec(record));
    await this.#apply([record], []);
    const progress = await this.await(uid);
    if (progress.progress !== Progress.ENFORCED) throw new Error(`the claim is not enforced: ${progress.why}`);
    return { uid, ids: Object.fromEntries(Object.keys(shares).map((request) => [request, cdiId(uid, request)])) };
  }

  /** Unprepares a claim. */
  async release(uid: string): Promise<void> {
    rmSync(join(this.#o.cdiDir, cdiFileName(uid)), { force: true });
    const record = this.#claims.get(uid);
    if (record === undefined) throw new Error("no such claim");
    const draining: AllocationRecord = { ...record, state: "draining" };
    await this.#apply([draining], []);
  }

  async await(uid: string, timeoutMs = 10_000): Promise<ClaimProgress> {
    const answer = await this.#client.await(
      { epoch: this.#epoch, revision: this.#revision, claims: [uid], timeoutMs },
      AbortSignal.timeout(timeoutMs + 30_000),
    );
    const [progress] = answer.claims;
    if (progress === undefined) throw new Error("no answer for the claim");
    return progress;
  }

  /** One change after the other, as revisions are. */
  #apply(upserts: readonly AllocationRecord[], removals: readonly string[]): Promise<void> {
    const mine = this.#turn.then(() => this.#applyNow(upserts, removals));
    this.#turn = mine.catch(() => {});
    return mine;
  }

  async #applyNow(upserts: readonly AllocationRecord[], removals: readonly string[]): Promise<void> {
    for (const one of upserts) this.#claims.set(one.claim.uid, one);
    for (const uid of removals) this.#claims.delete(uid);
    await this.#client.apply(
      {
        epoch: this.#epoch,
        baseRevision: this.#revision,
        revision: this.#revision + 1n,
        upserts: upserts.map(allocationInit),
        removals: [...removals],
        digest: digestOf(this.#claims.values()),
      },
      soon(),
    );
    this.#revision += 1n;
  }
}

function soon(): AbortSignal {
  return AbortSignal.timeout(20_000);
}
