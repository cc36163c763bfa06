import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { SessionState } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { EmptySchema } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { expect } from "chai";
import { AgentProcess } from "../kit/agent/agent.ts";
import { CgroupTree } from "../kit/cgrouptree.ts";
import { container, pod } from "../kit/enforcer.ts";
import { FakeRuntime, PluginRefusal } from "../kit/fakeruntime/runtime.ts";

const MAIN = join(import.meta.dirname, "..", "..", "nri-agent", "src", "main.ts");

// The agent as a process, on a directory that looks like cgroup v1: no root, no runtime, the bytes of the real one.
describe("the agent's process", function () {
  this.timeout(60_000);
  const dir = mkdtempSync(join(tmpdir(), "ap-"));
  const cgroups = new CgroupTree(join(dir, "cg"), "0-7");
  const runtime = new FakeRuntime(join(dir, "nri.sock"));
  const agent = new AgentProcess({
    dir,
    argv: [process.execPath, MAIN],
    nriSocket: runtime.path,
    cdiDir: join(dir, "cdi"),
    lever: "runtime",
    online: CpuSet.parse("0-7"),
    cgroupRoot: cgroups.root,
  });
  const connected = async (): Promise<void> => {
    const plugin = runtime.plugin();
    await plugin;
    await runtime.synchronize([], []);
    await agent.synchronized();
  };
  before(async () => {
    await runtime.listen();
    const first = runtime.plugin();
    agent.start();
    await agent.replace();
    await first;
  });
  after(async () => {
    await agent.daemon?.stop();
    await runtime.close();
    rmSync(dir, { recursive: true });
  });

  it("calls no session synchronized that ended while its containers were gone through", async () => {
    const containers = Array.from({ length: 1000 }, (_, n) => container("p", `gone${n}`));
    const answer = runtime.synchronize([pod("p")], containers).catch((cause: unknown) => (cause as Error).message);
    const next = runtime.plugin();
    runtime.drop();
    const states = new Set<number | undefined>();
    for (let n = 0; n < 20; n++) states.add((await agent.state()).nri?.state);
    expect(states).to.not.include(SessionState.SYNCHRONIZED);
    expect(await answer).to.be.a("string");
    await next;
    await runtime.synchronize([], []);
    await agent.synchronized();
  });

  it("subscribes to events that every NRI version knows", () => {
    expect(runtime.events).to.be.above(0).and.below(0x800);
  });

  it("puts a Synchronize in parts together", async () => {
    const again = runtime.plugin();
    runtime.drop();
    await again;
    const containers = Array.from({ length: 9 }, (_, n) =>
      container("p", `s${n}`, { env: ["PADDING=".padEnd(20_000, "x")] }),
    );
    cgroups.add(containers);
    await runtime.synchronize([pod("p")], containers, 3);
    await agent.synchronized();
    expect((await agent.state()).containers.length).to.equal(9);
  });

  it("refuses a forged variable in words that reach the runtime, once", async () => {
    const forger = container("p", "forger", { env: ["DRA_CPUSET_x=0"] });
    const refusal = await runtime.create(pod("p"), forger).catch((cause: unknown) => cause);
    expect(refusal).to.be.instanceOf(PluginRefusal);
    expect((refusal as PluginRefusal).message)
      .to.include("DRA_CPUSET_x")
      .and.include("default/p");
    // It stops what it could not create.
    await runtime.stop(pod("p"), forger);
    expect(readFileSync(agent.daemon?.log ?? "", "utf8")).to.not.include("Confined to the shared pool");
    expect((await agent.state()).containers.map((one) => one.ref?.id)).to.not.include("forger");
  });

  it("answers what it does not know with UNIMPLEMENTED, and what it cannot read with a sentence, and lives on", async () => {
    const unknown = await runtime.call("Tomorrow", EmptySchema, {}, EmptySchema).catch((cause: unknown) => cause);
    expect((unknown as PluginRefusal).code).to.equal(12);
    const other = await runtime
      .call("CreateContainer", EmptySchema, {}, EmptySchema, "other.Service")
      .catch((cause: unknown) => cause);
    expect((other as PluginRefusal).code).to.equal(12);
    const empty = await runtime.call("CreateContainer", EmptySchema, {}, EmptySchema).catch((cause: unknown) => cause);
    expect((empty as PluginRefusal).message).to.include("names no pod or no container");
    const cut = await runtime
      .call(
        "StartContainer",
        EmptySchema,
        { $unknown: [{ no: 1, wireType: 2, data: new Uint8Array([5, 1]) }] } as never,
        EmptySchema,
      )
      .catch((cause: unknown) => cause);
    expect((cut as PluginRefusal).message).to.match(/cannot be read|names no pod/);
    expect((await runtime.create(pod("p"), container("p", "fine"))).adjust?.linux?.resources?.cpu?.cpus).to.equal(
      "0-7",
    );
  });

  for (const [what, bytes] of [
    ["a message of 3 GB", new Uint8Array([0, 0, 0, 1, 0, 0, 0, 10, 0xb2, 0xd0, 0x5e, 0, 0, 0, 0, 1, 1, 0])],
    ["noise", Uint8Array.from({ length: 5000 }, (_, n) => (n * 2654435761) >>> 13)],
  ] as const) {
    it(`comes back after ${what} from the runtime's side`, async () => {
      const pid = agent.daemon?.pid;
      runtime.raw(bytes);
      const again = connected();
      runtime.drop();
      await again;
      expect(agent.daemon?.isAlive()).to.equal(true);
      expect(agent.daemon?.pid).to.equal(pid);
      expect(
        (await runtime.create(pod("p"), container("p", `after-${what.length}`))).adjust?.linux?.resources?.cpu?.cpus,
      ).to.equal("0-7");
    });
  }

  it("gives everybody an answer when it stops, and leaves no socket behind", async () => {
    await agent.daemon?.stop(10_000);
    expect(existsSync(join(dir, "ctl", "control.sock"))).to.equal(false);
    expect(existsSync(join(dir, "ins", "inspect.sock"))).to.equal(false);
    expect(existsSync(join(dir, "agent", "lock.sock"))).to.equal(false);
    const log = readFileSync(agent.daemon?.log ?? "", "utf8");
    expect(log).to.include("stopping on SIGTERM");
    expect(log).not.to.include("this is a defect");
  });
});
