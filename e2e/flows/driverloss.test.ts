import { createServer } from "node:net";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import { expect } from "chai";
import { allocatedClaim } from "../kit/driver.ts";
import { uidOf } from "../kit/driverworld.ts";
import { container, pod } from "../kit/enforcer.ts";
import type { ClaimReference } from "../kit/fakecluster/kubelet.ts";
import { DriverNode } from "../kit/drivernode.ts";
import { until } from "../kit/node/processes.ts";

// Each test has a node of its own: eight CPUs, of which CPU 0 stays shared.
describe("the driver's process, after a loss", function () {
  this.timeout(30_000);
  let node: DriverNode;
  let api: DriverNode["api"];
  let kubelet: DriverNode["kubelet"];
  let agent: DriverNode["agent"];
  let driver: DriverNode["driver"];
  beforeEach(async () => {
    node = new DriverNode(18_097);
    await node.listen();
    ({ api, kubelet, agent, driver } = node);
  });
  afterEach(() => node.end());
  const claimed = (name: string, cpus: number): ClaimReference => {
    const { claim } = allocatedClaim(name, cpus);
    const uid = uidOf(name);
    api.claims.set(`default/${name}`, {
      ...claim,
      metadata: { ...claim.metadata, uid },
      status: { ...claim.status, reservedFor: [{ resource: "pods", name: "pu", uid: "pu" }] },
    });
    return { namespace: "default", name, uid };
  };
  const cpusOf = (name: string): string =>
    agent.enforcer.state(create(GetStateRequestSchema)).allocations.find((one) => one.claim?.name === name)?.shares[0]
      ?.cpus ?? "none";

  /** A claim whose container runs. */
  const running = async (): Promise<{ run: ClaimReference; cpus: string }> => {
    const run = claimed("run", 3);
    expect((await kubelet.prepare(run)).error).to.equal("");
    const cpus = cpusOf("run");
    agent.cgroup.add("/kubepods/pu/c", cpus);
    const cdi = [`dra.k8s.io/cpu=claim-${run.uid}-cpus`];
    await agent.connect([pod("pu")], [container("pu", "c", { cdi, env: [`DRA_CPUSET_${run.uid}=${cpus}`] })]);
    return { run, cpus };
  };

  it("of checkpoint and CDI files knows from the agent who runs where, and blocks nobody", async () => {
    await node.serveAgent();
    await node.up();
    await node.ready();
    const { run, cpus } = await running();
    await node.kill();
    rmSync(driver.stateDir, { recursive: true });
    rmSync(driver.cdiDir, { recursive: true });
    await node.up();
    const fresh = claimed("new", 2);
    expect((await kubelet.prepare(fresh)).error).to.equal("");
    expect(cpusOf("run")).to.equal(cpus);
    expect(CpuSet.parse(cpusOf("new")).overlaps(CpuSet.parse(cpus))).to.equal(false);
    expect((await kubelet.prepare(run)).error).to.equal("");
    await until("the CDI file is back", () => readdirSync(driver.cdiDir).length === 2, 8000, 50);
  });

  it("of the state directory while a claim drains knows it from the agent, and frees its CPUs when the container ends", async () => {
    await node.serveAgent();
    await node.up();
    await node.ready();
    const { run, cpus } = await running();
    expect(await kubelet.unprepare(run)).to.equal("");
    await node.kill();
    rmSync(driver.stateDir, { recursive: true });
    await node.up();
    await node.ready();
    expect(cpusOf("run"), "while the container lives").to.equal(cpus);
    agent.cgroup.groups.delete("/kubepods/pu/c");
    await agent.connect();
    await until("the CPUs are free", () => cpusOf("run") === "none", 8000, 20);
    expect((await kubelet.prepare(claimed("all", 7))).error).to.equal("");
  });

  it("of everything says that the agent was not asked yet, and unprepares meanwhile", async () => {
    await node.up();
    const ref = claimed("early", 1);
    const early = kubelet.prepare(ref);
    expect(await kubelet.unprepare(claimed("late", 1))).to.equal("");
    await until(
      "it says why",
      async () => (await (await fetch(node.readyz)).text()).includes("was not asked yet"),
      5000,
      20,
    );
    await node.serveAgent();
    expect((await early).error, "it waits inside the call").to.equal("");
  });

  it("of the API server and of power takes up where it was, with the CDI file of the claim prepared last", async () => {
    await node.serveAgent();
    await node.up();
    await node.ready();
    const ref = claimed("last", 2);
    expect((await kubelet.prepare(ref)).error).to.equal("");
    const cpus = cpusOf("last");
    await node.kill();
    for (const name of readdirSync(driver.cdiDir)) unlinkSync(join(driver.cdiDir, name));
    api.fault = { code: 0, message: "" };
    await node.up();
    await until("the CDI file is back", () => readdirSync(driver.cdiDir).length === 1, 8000, 50);
    await until("it is prepared", () => cpusOf("last") === cpus, 5000, 50);
    expect((await kubelet.prepare(ref)).error, "without the API server").to.equal("");
  });

  it("of the CDI directory starts, says so, and goes on when it is back", async () => {
    await node.serveAgent();
    writeFileSync(driver.cdiDir, "");
    await node.up();
    await until("it says so", () => driver.log().includes("the CDI directory is unreadable"), 5000, 20);
    const answer = kubelet.prepare(claimed("a", 1));
    rmSync(driver.cdiDir);
    mkdirSync(driver.cdiDir);
    expect((await answer).error).to.equal("");
  });

  it("keeps its hands off the CPUs of the reference driver's claims and gives their files the gate", async () => {
    await node.serveAgent();
    const ref = claimed("theirs", 2);
    mkdirSync(driver.cdiDir);
    const file = join(driver.cdiDir, `dra.k8s.io-cpu_claim-${ref.uid}.json`);
    const env = [`DRA_CPUSET_${ref.uid}=1-2`];
    const devices = [{ name: `claim-${ref.uid}`, containerEdits: { env } }];
    writeFileSync(file, JSON.stringify({ cdiVersion: "0.8.0", kind: "dra.k8s.io/cpu", devices, containerEdits: {} }));
    await node.up();
    expect((await kubelet.prepare(claimed("ours", 2))).error).to.equal("");
    expect(CpuSet.parse(cpusOf("ours")).overlaps(CpuSet.parse("1-2"))).to.equal(false);
    await until("the gate is there", () => readFileSync(file, "utf8").includes("container-not-pinned"), 8000, 20);
    await until("the agent knows its name", () => cpusOf("theirs") === "1-2", 5000, 20);
    expect(await kubelet.unprepare(ref)).to.equal("");
    await until("they are free", () => cpusOf("theirs") === "none", 8000, 20);
  });

  it("answers a Prepare under way in words when it is told to stop, before its sockets go", async () => {
    await node.up();
    const waiting = kubelet.prepare(claimed("t", 2));
    await until("it is under way", () => driver.log().includes("begin: prepare"), 10_000, 20);
    driver.daemon?.signal("SIGTERM");
    expect((await waiting).error)
      .to.include("default/t")
      .and.include("the driver is stopping");
    expect(await driver.daemon?.exited).to.equal(0);
    expect(existsSync(join(kubelet.rootDir, "plugins/dra.cpu/dra.sock"))).to.equal(false);
  });

  it("ends on SIGTERM while it waits for its node's labels", async () => {
    const config = join(node.dir, "pernode.yaml");
    writeFileSync(config, "perNode: [{ matchLabels: { type: metal }, settings: { strategy: spread } }]");
    api.fault = { code: 503, message: "no etcd" };
    const daemon = driver.start({ "--config": config });
    await until("it waits", () => driver.log().includes("nothing: waiting"), 20_000, 20);
    daemon.signal("SIGTERM");
    expect(await daemon.exited).to.equal(0);
  });

  it("ends over a port that is in use before the kubelet hears of it", async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => {
      taken.listen(18097, "127.0.0.1", resolve);
    });
    const daemon = driver.start();
    expect(await daemon.exited).to.equal(1);
    taken.close();
    expect(driver.log()).to.include("the port is in use");
    expect(readdirSync(join(kubelet.rootDir, "plugins_registry"))).to.deep.equal([]);
    expect(driver.log()).to.not.include("registered with the kubelet");
  });
});
