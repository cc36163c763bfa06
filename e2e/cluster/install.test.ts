import { setTimeout as pause } from "node:timers/promises";
import { expect } from "chai";
import { memoryOf } from "../bench/figures.ts";
import { claimTemplate } from "../node/objects.ts";
import { world } from "./suite.ts";
import { NAMESPACE, RELEASE, until } from "./world.ts";

const OWN = { exec: "1", first: "1", cgroup: "1" };
const SHARED = { exec: "0", cgroup: "0" };
/** Of both programs together, idle, in megabytes. */
const BUDGET = { pss: 100, anonymous: 60 };
/** Of PSS the least counts: pages that other processes map too are shared out among those that map them now. */
const READINGS = 5;
const EVERY_MS = 1000;

describe("helm install on a real node", function () {
  this.timeout(120_000);
  const { node } = world;

  it("brings up one pod that is ready, and the node's CPUs as devices", async () => {
    const began = Date.now();
    await world.helm.install();
    console.log(`      installed and ready in ${((Date.now() - began) / 1000).toFixed(1)} s`);
    await world.ready();
    // Cgroup files of the node can be written, without any capability.
    expect(await world.state()).to.deep.include({ lever: "LEVER_FILE", truth: "TRUTH_CONFIRMED" });
    const devices = await node.kubectl(
      ...["get", "resourceslices", "-o", "jsonpath={.items[*].spec.driver} {.items[*].spec.devices[*].name}"],
    );
    expect(devices).to.equal("dra.cpu cpudevnuma000");
    const classes = await node.kubectl("get", "deviceclasses", "-o", "jsonpath={.items[*].metadata.name}");
    expect(classes).to.equal("dra.cpu dra.cpu-distributed dra.cpu-packed dra.cpu-spread");
    expect((await world.own("driver")).restarts + (await world.own("nri-agent")).restarts).to.equal(0);
  });

  it("gives a pod that claims a CPU that one, and the others the rest", async () => {
    await node.apply(claimTemplate("one", "1"));
    await world.createPod({ name: "shared" });
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    await world.running("shared");
    expect(await world.seen("claimed")).to.deep.equal(OWN);
    expect(await world.seen("shared")).to.deep.include(SHARED);
    expect(await world.environment("claimed")).to.include("DRA_CPUS=1");
    await until(
      "its status says so",
      async () => {
        const { items } = await node.json<{ items: { status: unknown }[] }>("get", "resourceclaims");
        expect(items[0]?.status).to.have.nested.property("devices[0].data.cpus", "1");
        expect(items[0]?.status).to.have.nested.property("devices[0].conditions[0].reason", "Enforced");
        return true;
      },
      20_000,
      200,
    );
    await world.remove("claimed");
    await until("the CPU is back", async () => (await world.seen("shared")).exec === "0-1", 20_000);
  });

  it("proves itself by helm test", async () => {
    expect(await world.helm.run("test", RELEASE, "--logs", "--timeout=60s")).to.include(
      "ok: claimed 1, was given 1, may run on 1",
    );
    await node.kubectl("delete", "pod", "-n", NAMESPACE, `${RELEASE}-test`);
  });

  it("stays within its memory when idle", async () => {
    const pids = { driver: (await world.own("driver")).pid, agent: (await world.own("nri-agent")).pid };
    const sums: { readonly pss: number; readonly anonymous: number }[] = [];
    for (let n = 1; n <= READINGS; n++) {
      if (n > 1) await pause(EVERY_MS);
      const [driver, agent] = [memoryOf(pids.driver), memoryOf(pids.agent)];
      sums.push({ pss: driver.pss + agent.pss, anonymous: driver.anonymous + agent.anonymous });
      if (n < READINGS) continue;
      for (const [name, { rss, pss, anonymous }] of Object.entries({ driver, agent }))
        console.log(
          `      ${name}: RSS ${rss.toFixed(0)} MB, PSS ${pss.toFixed(0)} MB, anonymous ${anonymous.toFixed(0)} MB`,
        );
    }
    const of = (key: keyof typeof BUDGET): number[] => sums.map((one) => one[key]);
    const texts = (key: keyof typeof BUDGET): string =>
      of(key)
        .map((one) => one.toFixed(1))
        .join(", ");
    console.log(
      `      both: PSS ${texts("pss")} MB, anonymous ${texts("anonymous")} MB; wanted: under ${BUDGET.pss} and ${BUDGET.anonymous}`,
    );
    expect(Math.min(...of("pss"))).to.be.below(BUDGET.pss);
    expect(Math.min(...of("anonymous"))).to.be.below(BUDGET.anonymous);
  });
});
