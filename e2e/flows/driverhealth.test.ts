import { HealthStatus } from "@dracpu/shared-proto/gen/kubelet/dra_health_v1alpha1_pb.ts";
import { expect } from "chai";
import { DriverNode } from "../kit/drivernode.ts";
import { container, pod } from "../kit/enforcer.ts";
import { until } from "../kit/node/processes.ts";

describe("device health, as the kubelet hears it", function () {
  this.timeout(40_000);
  const node = new DriverNode(18_095);
  let health: ReturnType<typeof node.kubelet.watchHealth>;
  before(async () => {
    await node.listen();
    await node.serveAgent();
    await node.up();
    await node.ready();
    health = node.kubelet.watchHealth();
  });
  after(() => node.end());
  const said = (): string =>
    health
      .last()
      .map((one) => `${one.device?.deviceName} ${one.message}`)
      .join("\n");
  const becomes = (what: string, text: string, ms = 2000): Promise<unknown> =>
    until(what, () => said().includes(text), ms, 20);

  it("is good where all is well, for every device that is offered", async () => {
    await until("it is told", () => health.last().length === 1, 5000, 20);
    expect(health.last()[0]).to.deep.include({ health: HealthStatus.HEALTHY, message: "" });
    expect(health.last()[0]?.device).to.deep.include({ poolName: "node-1", deviceName: "cpudevnuma000" });
  });

  it("is bad while a claim's CPU is offline, and names the claim", async () => {
    const claim = node.claimed("loses", 2);
    expect((await node.kubelet.prepare(claim)).error).to.equal("");
    node.online("0-1,4-7");
    await becomes("it says so", "CPUs 2-3 of claim default/loses are offline", 15_000);
    expect(health.last()[0]?.health).to.equal(HealthStatus.UNHEALTHY);
    node.online("0-7");
    await until("it is good again", () => health.last()[0]?.health === HealthStatus.HEALTHY, 15_000, 20);
    expect(await node.kubelet.unprepare(claim)).to.equal("");
  });

  it("is bad while somebody may run on a claim's CPUs", async () => {
    const claim = node.claimed("mine", 2);
    expect((await node.kubelet.prepare(claim)).error).to.equal("");
    node.agent.cgroup.add("/kubepods/p/s", "0-7");
    node.agent.cgroup.stuck = "/kubepods/p/s";
    await node.agent.connect([pod("p")], [container("p", "s")]);
    await becomes("it says so", "default/p/s may run here and should not", 15_000);
  });

  it("is bad when the agent is away, and ends with the driver", async () => {
    await node.agentGone();
    await becomes("it says so", "the NRI agent does not answer", 15_000);
    await node.driver.daemon?.stop();
    expect(await node.driver.daemon?.exited).to.equal(0);
  });
});
