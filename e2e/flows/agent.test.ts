import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { SessionState } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
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
    const refusal = async (
      method: string,
      payload: readonly number[] | Uint8Array = [],
      service?: string,
    ): Promise<readonly [number, string]> => {
      const cause = await runtime.ask(method, Uint8Array.from(payload), service).catch((refused: unknown) => refused);
      expect(cause).to.be.instanceOf(PluginRefusal);
      return [(cause as PluginRefusal).code, (cause as PluginRefusal).message];
    };
    expect(await refusal("Tomorrow")).to.deep.equal([12, "unknown method Tomorrow"]);
    expect(await refusal("CreateContainer", [], "other.Service")).to.deep.equal([12, "unknown service other.Service"]);
    const wanted = "a pod and a container are wanted";
    expect(await refusal("CreateContainer")).to.deep.equal([
      3,
      `dra.cpu: the runtime's CreateContainer names no pod; ${wanted}`,
    ]);
    expect(await refusal("StopContainer", [0x0a, 0])).to.deep.equal([
      3,
      `dra.cpu: the runtime's StopContainer names no container; ${wanted}`,
    ]);
    expect(await refusal("StartContainer", [0x0a, 5, 0x0a, 3, 0x61])).to.deep.equal([
      3,
      "dra.cpu: the request of StartContainer cannot be read in its 5 bytes: premature EOF",
    ]);
    expect(await refusal("CreateContainer", new Uint8Array(5 << 20))).to.deep.equal([
      8,
      "dra.cpu: the request of CreateContainer has 5242931 bytes; at most 4194304 are taken",
    ]);
    expect((await runtime.create(pod("p"), container("p", "fine"))).adjust?.linux?.resources?.cpu?.cpus).to.equal(
      "0-7",
    );
  });

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
