import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { createClient } from "@connectrpc/connect";
import { AgentClient } from "@dracpu/driver/control/agentclient.ts";
import { unixTransport } from "@dracpu/shared-proto/client/call.ts";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { Inspect } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import type { Container, ContainerUpdate } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { expect } from "chai";
import { AgentProcess } from "../kit/agent/agent.ts";
import { CgroupTree } from "../kit/cgrouptree.ts";
import { container, pod } from "../kit/enforcer.ts";
import { FakeRuntime } from "../kit/fakeruntime/runtime.ts";
import { until } from "../kit/node/processes.ts";
import { allocation, contractCalls, replacing, soon, type ContractWorld } from "./contractcalls.ts";

const source = (...path: string[]): string => join(import.meta.dirname, "..", "..", ...path);

/** The agent as a process on its own sockets, beside a runtime that lets it in when it is told to. */
class ProcessWorld implements ContractWorld {
  readonly dir = mkdtempSync(join(tmpdir(), "cp-"));
  readonly runtime = new FakeRuntime(join(this.dir, "nri.sock"));
  readonly cgroups = new CgroupTree(join(this.dir, "cg"), "0-7");
  readonly inspectSocket = join(this.dir, "ins", "inspect.sock");
  readonly inspect = createClient(Inspect, unixTransport(this.inspectSocket));
  readonly controlSocket = join(this.dir, "ctl", "control.sock");
  readonly port = new AgentClient(this.controlSocket);
  readonly agent = new AgentProcess({
    dir: this.dir,
    argv: [process.execPath, source("nri-agent/src/main.ts")],
    nriSocket: this.runtime.path,
    cdiDir: join(this.dir, "cdi"),
    lever: "runtime",
    online: CpuSet.parse("0-7"),
    cgroupRoot: this.cgroups.root,
  });

  async start(): Promise<void> {
    this.agent.start();
    await until("it answers", () => this.port.hello({ protocolMin: 1, protocolMax: 1 }, soon()), 20_000, 20);
  }

  async held(): Promise<string | undefined> {
    return (await this.inspect.getState({})).state?.pool?.held;
  }

  async connect(pods: Parameters<ContractWorld["connect"]>[0], containers: Container[], cpus?: string): Promise<void> {
    this.cgroups.add(containers);
    if (cpus !== undefined) for (const { id } of containers) this.cgroups.set(id, cpus);
    const plugin = this.runtime.plugin();
    await this.runtime.listen();
    await plugin;
    // With a runtime that can, it asks for updates; others get them with this answer.
    this.runtime.onUpdate = (update) => this.#obey(update);
    for (const update of await this.runtime.synchronize(pods, containers)) this.#obey(update);
    await this.agent.synchronized();
  }

  #obey({ containerId, linux }: ContainerUpdate): void {
    this.cgroups.set(containerId, linux?.resources?.cpu?.cpus ?? "");
  }

  cpusOf({ id }: Container): string | undefined {
    return this.cgroups.get(id);
  }

  async end(): Promise<void> {
    await this.agent.daemon?.stop();
    await this.runtime.close();
    rmSync(this.dir, { recursive: true });
  }
}

describe("the contract, with the agent's process", function () {
  this.timeout(60_000);
  let world: ProcessWorld;
  beforeEach(() => {
    world = new ProcessWorld();
    return world.start();
  });
  afterEach(() => world.end());

  contractCalls(() => world);

  it("tells another life of the agent by its instance, and another session of the runtime by its id", async () => {
    const first = await replacing(world.port, 1n, allocation("a", "2-3"));
    await world.connect([], []);
    const ask = { epoch: 1n, revision: 1n, claims: ["a"], timeoutMs: 0 };
    const before = await world.port.await(ask, soon());
    const plugin = world.runtime.plugin();
    world.runtime.drop();
    await plugin;
    await world.runtime.synchronize([], []);
    await world.agent.synchronized();
    const after = await world.port.await(ask, soon());
    expect(after.agentInstance).to.equal(first.agentInstance);
    expect([before.nriSessionId, after.nriSessionId]).to.not.include("");
    expect(after.nriSessionId).to.not.equal(before.nriSessionId);
    await world.agent.daemon?.stop();
    await world.start();
    const again = await world.port.hello({ protocolMin: 1, protocolMax: 1 }, soon());
    expect(again.agentInstance).to.not.be.oneOf(["", first.agentInstance]);
    expect(
      again.allocations.map((one) => one.claim?.uid),
      "from its own file",
    ).to.deep.equal(["a"]);
  });

  it("streams events on both sockets, and heartbeats where nothing happens", async () => {
    await replacing(world.port, 1n, allocation("a", "2-3"));
    const ending = new AbortController();
    const cases = async (stream: AsyncIterable<{ what: { case?: string | undefined; value?: unknown } }>) => {
      const seen: string[] = [];
      let last: unknown;
      for await (const { what } of stream) {
        seen.push(what.case ?? "nothing");
        if (what.case === "event") last = (what.value as { seq: bigint }).seq;
        if (what.case === "heartbeat") {
          expect((what.value as { lastSeq: bigint }).lastSeq).to.equal(last);
          break;
        }
      }
      return seen;
    };
    const [control, inspect] = await Promise.all([
      cases(world.port.watchEvents(0n, ending.signal)),
      cases(world.inspect.watchEvents({ afterSeq: 0n })),
    ]);
    ending.abort();
    expect(control[0]).to.equal("event");
    expect(control.at(-1)).to.equal("heartbeat");
    expect(inspect).to.deep.equal(control);
  });

  it("filters and bounds the state, and refuses a method of the other socket", async () => {
    await replacing(world.port, 1n, allocation("a", "2-3"));
    await world.connect([pod("p"), pod("q")], [container("p", "p1"), container("p", "p2"), container("q", "q1")]);
    const ids = async (filter: Parameters<typeof world.inspect.getState>[0]): Promise<(string | undefined)[]> =>
      ((await world.inspect.getState(filter)).state?.containers ?? []).map((one) => one.ref?.id).sort();
    expect(await ids({})).to.deep.equal(["p1", "p2", "q1"]);
    expect(await ids({ podUid: "p" })).to.deep.equal(["p1", "p2"]);
    expect(await ids({ podNamespace: "default", podName: "q" })).to.deep.equal(["q1"]);
    expect(await ids({ podNamespace: "elsewhere" })).to.deep.equal([]);
    expect(await ids({ claimUid: "a" })).to.deep.equal([]);
    expect(await ids({ maxContainers: 2 })).to.have.lengthOf(2);
    const { state } = await world.inspect.getState({ maxContainers: 2 });
    expect(state?.allocations.map((one) => one.claim?.uid)).to.deep.equal(["a"]);
  });

  it("tells its release, to `dracpu version` too, which says where it does not answer", async () => {
    const told = { version: VERSION, protocolMin: 1, protocolMax: 1 };
    expect(await world.inspect.getVersion({})).to.deep.include({ ...told, nodeVersion: process.version });
    const run = (...args: string[]): string =>
      execFileSync(process.execPath, [source("driver/src/main.ts"), "version", "--inspect-socket", ...args], {
        encoding: "utf8",
      });
    const line = (name: string): string => `${name} ${VERSION} (node ${process.version}, protocol 1)`;
    expect(run(world.inspectSocket)).to.equal(`${line("dracpu")}\n${line("NRI agent")}\nBoth speak protocol 1.\n`);
    const own = { ...told, node: process.version };
    expect(JSON.parse(run(world.inspectSocket, "-o", "json"))).to.deep.equal({
      dracpu: own,
      agent: own,
      why: "",
      protocol: 1,
    });
    const nobody = join(world.dir, "none.sock");
    const why = `nobody listens on ${nobody} (ENOENT)`;
    expect(run(nobody)).to.equal(`${line("dracpu")}\nNRI agent: it does not answer: ${why}\n`);
    expect(JSON.parse(run(nobody, "-o", "json"))).to.deep.equal({ dracpu: own, agent: null, why, protocol: null });
  });

  it("is called by `call` of both programs: indented for people, a document a line for machines", async () => {
    await replacing(world.port, 1n, allocation("a", "2-3"));
    const call = async (program: "driver" | "nri-agent", ...args: string[]): Promise<string> => {
      const control = program === "driver" ? "--agent-socket" : "--control-socket";
      const sockets = ["--inspect-socket", world.inspectSocket, control, world.controlSocket];
      const main = source(`${program}/src/main.ts`);
      return (await promisify(execFile)(process.execPath, [main, "call", ...args, ...sockets])).stdout;
    };
    const shown = await call("driver", "getstate", '{"claimUid":"a"}');
    expect(shown.split("\n").slice(0, 2).join("")).to.match(/^\{ {2}"state": \{$/);
    const lines = (await call("nri-agent", "Inspect.GetState", '{"claimUid":"a"}', "-o", "json")).split("\n");
    expect(lines).to.have.lengthOf(2);
    const { state } = JSON.parse(lines[0] ?? "") as { state: { allocations: { shares: { cpus: string }[] }[] } };
    expect(state.allocations.map(({ shares }) => shares[0]?.cpus)).to.deep.equal(["2-3"]);
    const hello = await call("driver", "Hello", '{"protocolMin":1,"protocolMax":1}', "-o", "json");
    expect(JSON.parse(hello)).to.include({ protocol: 1, highestEpoch: "1" });
  });
});
