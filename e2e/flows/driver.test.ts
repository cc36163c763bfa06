import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import type { Offer } from "@dracpu/driver/claims/decide.ts";
import type { ResourceClaim } from "@dracpu/driver/claims/resourceclaim.ts";
import { AgentClient } from "@dracpu/driver/control/agentclient.ts";
import { CdiDirectory } from "@dracpu/driver/disk/cdidirectory.ts";
import { CheckpointFile } from "@dracpu/driver/disk/checkpointfile.ts";
import { Ledger } from "@dracpu/driver/ledger/ledger.ts";
import { AgentLink } from "@dracpu/driver/prepare/agentlink.ts";
import type { PrepareOutcome, UnprepareOutcome } from "@dracpu/driver/prepare/ports.ts";
import { Preparer } from "@dracpu/driver/prepare/preparer.ts";
import { PerKey, Shortage } from "@dracpu/driver/prepare/queue.ts";
import { Releaser } from "@dracpu/driver/prepare/releaser.ts";
import { SysfsOverlay } from "@dracpu/driver/sysfs/tree.ts";
import { readMachine } from "@dracpu/driver/topology/read.ts";
import { serveControl } from "@dracpu/nri-agent/control/serve.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import { expect } from "chai";
import { TestAgent } from "../kit/enforcer.ts";

const FILES = { "/sys/devices/system/cpu/online": "0-7", "/sys/devices/system/node/node0/cpulist": "0-7" };
const silent = { info: () => {}, warn: () => {}, error: () => {} };

/** The driver's use cases, with real files and the real contract socket; the agent's decisions are real, its cgroups are in memory. */
class World {
  readonly dir = mkdtempSync(join(tmpdir(), "dw-"));
  readonly claims = new Map<string, ResourceClaim>();
  readonly ledger = new Ledger();
  readonly cdi = new CdiDirectory(join(this.dir, "cdi"));
  readonly file = new CheckpointFile(this.dir);
  readonly stop = new AbortController();
  readonly preparer: Preparer;
  agent = new TestAgent();
  saveFails = "";
  #close: () => Promise<void> = () => Promise.resolve();
  #epoch = 0n;

  constructor() {
    const machine = readMachine(SysfsOverlay.parse(JSON.stringify(FILES), undefined));
    const offer: Offer = {
      driver: "dra.cpu",
      pool: "n",
      machine,
      candidates: new Map([["cpudevnuma000", CpuSet.parse("1-7")]]),
    };
    const checkpoint = {
      save: () =>
        this.saveFails === ""
          ? this.file.save({ bootId: "b", epoch: this.#epoch, entries: this.ledger.entries() })
          : Promise.reject(new Error(this.saveFails)),
    };
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
    });
    const shortage = new Shortage();
    const releaser = new Releaser({ ledger: this.ledger, checkpoint, cdi: this.cdi, link, shortage, log: silent });
    releaser.start(this.stop.signal);
    let operation = 0;
    this.preparer = new Preparer({
      reader: { get: (_namespace, name) => Promise.resolve(this.claims.get(name)) },
      ledger: this.ledger,
      checkpoint,
      cdi: this.cdi,
      link,
      releaser,
      shortage,
      perClaim: new PerKey(),
      offer: () => offer,
      notReady: () => "",
      log: silent,
      newOperationId: () => String((operation += 1)),
      onPrepared: () => {},
      onUnprepared: () => {},
      now: () => performance.now(),
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

  claim(name: string, cpus: string): void {
    this.claims.set(name, {
      metadata: { name, namespace: "default", uid: `uid-${name}` },
      status: {
        allocation: {
          devices: {
            results: [
              {
                request: "cpus",
                driver: "dra.cpu",
                pool: "n",
                device: "cpudevnuma000",
                consumedCapacity: { "dra.cpu/cpu": cpus },
                shareID: "s",
              },
            ],
          },
        },
        reservedFor: [{ resource: "pods", name: "p", uid: "pu" }],
      },
    });
  }

  async prepare(name: string, signal = AbortSignal.timeout(5000)): Promise<PrepareOutcome | undefined> {
    const ref = { namespace: "default", name, uid: `uid-${name}` };
    return (await this.preparer.prepare([ref], signal)).get(ref.uid);
  }

  async unprepare(name: string): Promise<UnprepareOutcome | undefined> {
    const ref = { namespace: "default", name, uid: `uid-${name}` };
    return (await this.preparer.unprepare([ref], AbortSignal.timeout(5000))).get(ref.uid);
  }

  held(): string {
    return this.agent.enforcer.state(create(GetStateRequestSchema)).pool?.held ?? "";
  }

  async end(): Promise<void> {
    this.stop.abort();
    await this.agentGone();
    rmSync(this.dir, { recursive: true, force: true });
  }
}

describe("the driver, with an agent", () => {
  let world: World;
  beforeEach(async () => {
    world = new World();
    await world.serve();
  });
  afterEach(() => world.end());
  const message = (outcome: PrepareOutcome | undefined): string =>
    outcome?.kind === "refused" ? outcome.message : `prepared`;

  it("prepares a claim: checkpoint, CDI file and agent say the same, and the kubelet gets the same twice", async () => {
    world.claim("a", "2");
    const first = await world.prepare("a");
    expect(first).to.deep.equal({
      kind: "prepared",
      devices: [
        {
          requestNames: ["cpus"],
          pool: "n",
          device: "cpudevnuma000",
          cdiDeviceIds: ["dra.k8s.io/cpu=claim-uid-a-cpus"],
          shareId: "s",
        },
      ],
    });
    expect(await world.prepare("a")).to.deep.equal(first);
    const loaded = await world.file.load();
    expect(
      loaded.kind === "memory" && loaded.memory.entries.map((one) => one.shares[0]?.cpus.toString()),
    ).to.deep.equal(["1-2"]);
    expect(await world.cdi.list()).to.deep.equal(["uid-a"]);
    expect(world.held()).to.equal("1-2");
  });

  it("gives no CPU to two of many claims that come at once, and releases all", async () => {
    const names = ["a", "b", "c", "d", "e", "f", "g"];
    for (const name of names) world.claim(name, "1");
    const outcomes = await Promise.all(names.map((name) => world.prepare(name)));
    expect(outcomes.map(message)).to.deep.equal(names.map(() => "prepared"));
    expect(world.held()).to.equal("1-7");
    expect(new Set(world.ledger.entries().map((one) => one.shares[0]?.cpus.toString())).size).to.equal(7);
    await Promise.all(names.map((name) => world.unprepare(name)));
    for (let n = 0; n < 100 && world.ledger.entries().length > 0; n++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(world.ledger.entries()).to.deep.equal([]);
    expect(world.held()).to.equal("");
    expect(await world.cdi.list()).to.deep.equal([]);
  });

  it("waits for a release that is on its way, first come first, and refuses at its bound, naming the holders", async () => {
    world.claim("big", "6");
    world.claim("first", "4");
    world.claim("second", "1");
    await world.prepare("big");
    const order: string[] = [];
    const first = world.prepare("first").then((outcome) => order.push(`first ${message(outcome)}`));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const second = world.prepare("second").then((outcome) => order.push(`second ${message(outcome)}`));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(order, "one CPU is free, but whoever came first comes first").to.deep.equal([]);
    await world.unprepare("big");
    await Promise.all([first, second]);
    expect(order.sort()).to.deep.equal(["first prepared", "second prepared"]);
    world.claim("third", "3");
    const refused = message(await world.prepare("third", AbortSignal.timeout(300)));
    expect(refused)
      .to.include("3 CPUs are wanted and 2 are free")
      .and.include("default/first (CPUs")
      .and.include("claim default/third");
  });

  it("refuses what is no claim, and a claim that was replaced", async () => {
    expect(message(await world.prepare("nobody"))).to.include("the API server has no such claim");
    world.claim("a", "1");
    const ref = { namespace: "default", name: "a", uid: "old" };
    expect(message((await world.preparer.prepare([ref], AbortSignal.timeout(1000))).get("old"))).to.include(
      "it was replaced",
    );
    expect(await world.unprepare("nobody")).to.deep.equal({ kind: "done" });
  });

  it("fails in a sentence while its disk is full, hands nothing out twice, and recovers without a restart", async () => {
    world.claim("a", "2");
    world.claim("b", "6");
    world.saveFails = "Cannot write checkpoint.json: the disk is full; free space on it";
    expect(message(await world.prepare("a"))).to.include("the disk is full");
    expect(await world.cdi.list()).to.deep.equal([]);
    world.saveFails = "";
    expect(message(await world.prepare("a"))).to.equal("prepared");
    world.saveFails = "Cannot write checkpoint.json: the disk is full; free space on it";
    expect(await world.unprepare("a")).to.have.property("kind", "failed");
    expect(world.held()).to.equal("1-2");
    world.saveFails = "";
    expect(await world.unprepare("a")).to.deep.equal({ kind: "done" });
    expect(message(await world.prepare("b"))).to.equal("prepared");
  });

  it("says that the agent is away, keeps the CPUs for the claim, and goes on where it was when the agent is back", async () => {
    world.claim("a", "2");
    await world.agentGone();
    expect(message(await world.prepare("a", AbortSignal.timeout(600)))).to.include("the NRI agent is not running");
    expect(world.ledger.held().toString()).to.equal("1-2");
    await world.serve(new TestAgent());
    expect(message(await world.prepare("a"))).to.equal("prepared");
    expect(world.held()).to.equal("1-2");
  });

  it("releases with the agent away, and frees the CPUs only when the agent has said that nobody lives on them", async () => {
    world.claim("a", "2");
    await world.prepare("a");
    await world.agentGone();
    expect(await world.unprepare("a")).to.deep.equal({ kind: "done" });
    expect(world.ledger.held().toString()).to.equal("1-2");
    await world.serve(new TestAgent(world.agent.saved.at(-1)));
    for (let n = 0; n < 300 && world.ledger.entries().length > 0; n++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(world.ledger.held().toString()).to.equal("");
  });

  it("tells another agent everything again", async () => {
    world.claim("a", "2");
    world.claim("b", "1");
    await world.prepare("a");
    await world.agentGone();
    await world.serve(new TestAgent());
    expect(message(await world.prepare("b"))).to.equal("prepared");
    expect(world.held()).to.equal("1-3");
  });
});
