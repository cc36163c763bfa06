import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { cdiFileName } from "@dracpu/driver/cdi/spec.ts";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import { expect } from "chai";
import { DriverNode } from "../kit/drivernode.ts";
import { until } from "../kit/node/processes.ts";

/** By when whatever follows the machine has followed it. */
const SOON_MS = 10_000;

describe("the driver's process, on a machine whose CPUs go offline and come back", function () {
  this.timeout(60_000);
  const node = new DriverNode(18_096);
  const { api, kubelet } = node;
  before(async () => {
    await node.listen();
    await node.serveAgent();
    await node.up();
    await node.ready();
  });
  after(() => node.end());
  const offered = (): string | undefined =>
    [...api.slices.values()][0]?.spec.devices?.[0]?.capacity?.["dra.cpu/cpu"]?.value;
  const told = (): string | undefined =>
    node.agent.enforcer.state(create(GetStateRequestSchema)).machine?.online.toString();
  const cpusOf = (uid: string): string =>
    /DRA_CPUSET_[^=]*=([\d,-]*)/.exec(readFileSync(join(node.driver.cdiDir, cdiFileName(uid)), "utf8"))?.[1] ?? "";

  it("gives new claims what is online at once; slices and agent follow soon; claims keep theirs, and are named", async () => {
    const stays = node.claimed("stays", 2);
    expect((await kubelet.prepare(stays)).error).to.equal("");
    expect([cpusOf(stays.uid), offered()]).to.deep.equal(["2-3", "7"]);
    node.online("0-2,4-7");
    const next = node.claimed("next", 4);
    expect((await kubelet.prepare(next)).error).to.equal("");
    expect(cpusOf(next.uid)).to.equal("4-7");
    await until("the slice follows", () => offered() === "6", SOON_MS, 20);
    await until("the agent follows", () => told() === "0-2,4-7", SOON_MS, 20);
    expect(cpusOf(stays.uid)).to.equal("2-3");
    expect(node.driver.log()).to.include("a claim holds CPUs that are not online");
    // Everywhere; and nobody's rollout waits for the CPU.
    const ready = await fetch(node.readyz);
    expect(ready.status).to.equal(200);
    expect(await ready.text()).to.match(/^ok\nCPUs 3 of claim default\/stays are not online \[DRACPU-211\]$/m);
    const metrics = await (await fetch(node.readyz.replace("readyz", "metrics"))).text();
    expect(metrics).to.match(/^dra_cpu_findings\{.*DRACPU-211.*\} 1$/m);

    node.online("0-7");
    await until("all are offered again", () => offered() === "7", SOON_MS, 20);
    await until("the agent knows", () => told() === "0-7", SOON_MS, 20);
    expect(await (await fetch(node.readyz)).text()).to.equal("ok\n");
    for (const one of [stays, next]) expect(await kubelet.unprepare(one)).to.equal("");
  });

  it("sees the cache of a CPU that the kernel shows after the CPU itself", async () => {
    const system = "/sys/devices/system";
    const show = (online: string, cached: string): void => {
      const cache = `${system}/cpu/cpu{${cached}}/cache/index3`;
      node.overlay(
        JSON.stringify({
          [`${system}/cpu/online`]: online,
          [`${system}/cpu/present`]: "0-7",
          [`${system}/node/node0/cpulist`]: online,
          [`${cache}/level`]: "3",
          [`${cache}/id`]: "5",
          [`${cache}/shared_cpu_list`]: cached,
        }),
      );
    };
    const l3 = (): unknown => [...api.slices.values()][0]?.spec.devices?.[0]?.attributes?.["dra.cpu/cacheL3ID"];
    show("0-6", "0-6");
    await until("the cache is told of", () => offered() === "6" && l3() !== undefined, SOON_MS, 20);
    show("0-7", "0-6");
    await until("the slice follows", () => offered() === "7", SOON_MS, 10);
    expect(l3(), "not all are known to share one").to.equal(undefined);
    show("0-7", "0-7");
    await until("the slice follows again", () => l3() !== undefined, 2 * SOON_MS, 20);
    expect([offered(), l3()]).to.deep.equal(["7", { int: 5 }]);
    node.online("0-7");
  });

  it("goes on with what it knew while the machine cannot be read, and says so once", async () => {
    node.overlay("{");
    await until("it says so", () => node.driver.log().includes("cannot be read now"), SOON_MS, 20);
    const one = node.claimed("meanwhile", 1);
    expect((await kubelet.prepare(one)).error).to.equal("");
    node.online("0-6");
    await until("the slice follows", () => offered() === "6", 2 * SOON_MS, 20);
    expect(await kubelet.unprepare(one)).to.equal("");
    expect(node.driver.log().split("cannot be read now")).to.have.length(2);
  });
});
