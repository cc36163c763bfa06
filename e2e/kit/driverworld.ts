import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { DEFAULT_POLICY } from "@dracpu/driver/allocator/allocate.ts";
import type { Offer } from "@dracpu/driver/claims/decide.ts";
import type { AllocationConfig, AllocationResult, ResourceClaim } from "@dracpu/driver/claims/resourceclaim.ts";
import { AgentClient } from "@dracpu/driver/control/agentclient.ts";
import { CdiDirectory } from "@dracpu/driver/disk/cdidirectory.ts";
import { CheckpointFile } from "@dracpu/driver/disk/checkpointfile.ts";
import { LatestWrite } from "@dracpu/shared-proto/disk/latest.ts";
import { Ledger } from "@dracpu/driver/ledger/ledger.ts";
import { AgentLink } from "@dracpu/driver/prepare/agentlink.ts";
import { adoptHeld } from "@dracpu/driver/prepare/adoption.ts";
import type { ClaimReader, PrepareOutcome, UnprepareOutcome } from "@dracpu/driver/prepare/ports.ts";
import { Preparer } from "@dracpu/driver/prepare/preparer.ts";
import { PerKey, Shortage } from "@dracpu/driver/prepare/queue.ts";
import type { RecoveryParts } from "@dracpu/driver/prepare/recovery.ts";
import { Releaser } from "@dracpu/driver/prepare/releaser.ts";
import { SysfsOverlay } from "@dracpu/driver/sysfs/tree.ts";
import { readMachine } from "@dracpu/driver/topology/read.ts";
import { serveControl } from "@dracpu/nri-agent/control/serve.ts";
import { allocationFromWire } from "@dracpu/shared-proto/contract/wire.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import { TestAgent } from "./enforcer.ts";

/** A uid for each claim's name, as the agent wants them. */
export function uidOf(name: string): string {
  const hex = Buffer.from(name).toString("hex");
  return `00000000-0000-4000-8000-${hex.padStart(12, "0").slice(-12)}`;
}

/** One core a CPU. */
const FILES = { "/sys/devices/system/cpu/online": "0-7", "/sys/devices/system/node/node0/cpulist": "0-7" };
const silent = { info: () => {}, warn: () => {}, error: () => {} };

/** The driver's use cases, with real files and the real contract socket; the agent's decisions are real, its cgroups are in memory. */
export class DriverWorld {
  readonly dir = mkdtempSync(join(tmpdir(), "dw-"));
  readonly claims = new Map<string, ResourceClaim>();
  readonly ledger = new Ledger();
  readonly cdi = new CdiDirectory(join(this.dir, "cdi"));
  readonly file = new CheckpointFile(this.dir);
  readonly stop = new AbortController();
  readonly preparer: Preparer;
  readonly recovery: RecoveryParts;
  /** Names of claims that the API server was asked for. */
  readonly reads: string[] = [];
  /** Claims that people were told of. */
  readonly served: string[] = [];
  readFails: Error | undefined;
  offer: Offer;
  agent = new TestAgent();
  saveFails = "";
  #close: () => Promise<void> = () => Promise.resolve();
  #epoch = 0n;

  /** @param machineText a whole machine as an overlay; eight CPUs by default, of which CPU 0 is kept for the shared pool. */
  constructor(machineText = JSON.stringify(FILES), offer: Partial<Offer> = {}) {
    const machine = readMachine(SysfsOverlay.parse(machineText, undefined));
    this.offer = {
      driver: "dra.cpu",
      pool: "n",
      machine,
      candidates: new Map([["cpudevnuma000", CpuSet.parse("1-7")]]),
      offered: ["cpudevnuma000"],
      defaults: DEFAULT_POLICY,
      reserved: CpuSet.empty,
      keepShared: CpuSet.of(0),
      ...offer,
    };
    const checkpoint = new LatestWrite(() =>
      this.saveFails === ""
        ? this.file.save({ bootId: "b", epoch: this.#epoch, entries: this.ledger.entries(), complete: true })
        : Promise.reject(new Error(this.saveFails)),
    );
    const link = new AgentLink({
      agent: new AgentClient(this.socket),
      ledger: this.ledger,
      machine: () => ({
        online: machine.online,
        present: machine.online,
        reserved: CpuSet.empty,
        keepShared: CpuSet.of(0),
        bootId: "b",
      }),
      instance: "d",
      log: silent,
      epoch: {
        get: () => this.#epoch,
        set: (epoch) => {
          this.#epoch = epoch;
          return checkpoint.save();
        },
      },
      onEvent: () => {},
      onAgentMemory: () => {},
      adoptHeld: (held) => adoptHeld(this.recovery, allocationFromWire(held)),
    });
    const shortage = new Shortage();
    const releaser = new Releaser({ ledger: this.ledger, checkpoint, cdi: this.cdi, link, shortage, log: silent });
    releaser.start(this.stop.signal);
    const perClaim = new PerKey();
    const reader: ClaimReader = {
      get: (_namespace, name) => {
        this.reads.push(name);
        return this.readFails === undefined ? Promise.resolve(this.claims.get(name)) : Promise.reject(this.readFails);
      },
      find: (uids) => Promise.resolve([...this.claims.values()].filter(({ metadata }) => uids.has(metadata.uid))),
    };
    this.recovery = {
      ledger: this.ledger,
      checkpoint,
      cdi: this.cdi,
      link,
      releaser,
      perClaim,
      reader,
      log: silent,
      driver: "dra.cpu",
      random: () => 0,
    };
    let operation = 0;
    this.preparer = new Preparer({
      reader,
      ledger: this.ledger,
      checkpoint,
      cdi: this.cdi,
      link,
      releaser,
      shortage,
      perClaim,
      offer: () => this.offer,
      notReady: () => "",
      unsuited: () => undefined,
      log: silent,
      newOperationId: () => String((operation += 1)),
      onPrepared: () => {},
      onUnprepared: () => {},
      onReleaseFailed: () => {},
      onServed: (_claim, { claim }) => this.served.push(claim.name),
      now: () => performance.now(),
      time: () => Date.now(),
    });
  }

  get socket(): string {
    return join(this.dir, "ctl", "control.sock");
  }

  async serve(agent = this.agent): Promise<void> {
    this.agent = agent;
    await agent.connect();
    this.#close = await serveControl(this.socket, agent.enforcer, this.stop.signal);
  }

  async agentGone(): Promise<void> {
    this.agent.enforcer.stop();
    await this.#close();
  }

  /** A claim of one request on one device, as the scheduler leaves it. */
  claim(name: string, cpus: string, ...config: AllocationConfig[]): void {
    const consumedCapacity = { "dra.cpu/cpu": cpus };
    this.allocate(name, [{ device: "cpudevnuma000", consumedCapacity, shareID: "s" }], config);
  }

  allocate(
    name: string,
    results: readonly (Partial<AllocationResult> & { device: string })[],
    config: readonly AllocationConfig[] = [],
  ): void {
    this.claims.set(name, {
      metadata: { name, namespace: "default", uid: uidOf(name) },
      status: {
        allocation: {
          devices: {
            results: results.map((one) => ({ request: "cpus", driver: "dra.cpu", pool: "n", ...one })),
            config,
          },
        },
        reservedFor: [{ resource: "pods", name: "p", uid: "pu" }],
      },
    });
  }

  async prepare(name: string, signal = AbortSignal.timeout(5000)): Promise<PrepareOutcome | undefined> {
    const ref = { namespace: "default", name, uid: uidOf(name) };
    return (await this.preparer.prepare([ref], signal)).get(ref.uid);
  }

  async unprepare(name: string): Promise<UnprepareOutcome | undefined> {
    const ref = { namespace: "default", name, uid: uidOf(name) };
    return (await this.preparer.unprepare([ref], AbortSignal.timeout(5000))).get(ref.uid);
  }

  held(): string {
    return this.agent.enforcer.state(create(GetStateRequestSchema)).pool?.held ?? "";
  }

  async end(): Promise<void> {
    this.stop.abort();
    await this.agentGone();
    // A checkpoint under way may still be written.
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 10 });
  }
}
