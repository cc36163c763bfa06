import { expect } from "chai";
import { allowedOf } from "../node/kernel.ts";
import { world } from "./suite.ts";
import { CHART } from "../kit/node/helm.ts";
import { replaceImage } from "./alone.ts";
import { NEXT, RELEASE, REPOSITORY, until } from "./world.ts";

const BUDGET_START_MS = 300;
/** Other work on the machine slows starts; more than this is no noise. */
const MAX_START_MS = 600;

/** By default a program that is stuck is replaced after some two minutes. */
const IMPATIENT = JSON.stringify({
  periodSeconds: 1,
  timeoutSeconds: 1,
  failureThreshold: 4,
  terminationGracePeriodSeconds: 1,
});

// The pods of the file before still run: one with a claim, one without.
describe("helm upgrade and rollback", function () {
  this.timeout(150_000);
  const { node } = world;
  let claimed = 0;
  let pod = "";

  before(async () => {
    claimed = (await world.place("claimed")).pid;
    pod = (await world.ownPod()).metadata.uid;
  });
  const replaced = async (tag: string): Promise<void> => {
    pod = await world.replaced(pod, tag);
    await until(
      "driver and agent agree",
      async () => (await world.state<{ truth: string }>()).truth === "TRUTH_CONFIRMED",
      20_000,
      200,
    );
    expect(allowedOf(claimed), "mask of the claim's process, which ran all the time").to.equal("1");
    expect(await world.seen("claimed")).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
    expect((await world.seen("shared")).exec).to.equal("0");
  };
  const grouped = (): Promise<string> =>
    node.kubectl("get", "resourceslices", "-o", "jsonpath={.items[*].spec.devices[*].name}");

  it("to another version with other settings: running pods keep their CPUs", async () => {
    await world.helm.upgrade(
      ...["--set", `image.tag=${NEXT}`, "--set", "config.driver.groupBy=machine"],
      ...["driver", "agent"].flatMap((name) => ["--set-json", `${name}.livenessProbe=${IMPATIENT}`]),
    );
    await replaced(NEXT);
    await until("devices by machine", async () => (await grouped()).includes("cpudevmachine"), 20_000, 200);
  });

  for (const name of ["driver", "nri-agent"] as const)
    it(`${name}: is replaced by itself when it is stuck, and the other is not`, async () => {
      const other = name === "driver" ? "nri-agent" : "driver";
      const [before, beside] = [await world.own(name), await world.own(other)];
      process.kill(before.pid, "SIGSTOP");
      const began = Date.now();
      await until(
        "another one runs",
        async () => {
          const now = await world.own(name);
          return now.id !== before.id && now.pid > 0;
        },
        40_000,
        200,
      );
      console.log(`      after ${((Date.now() - began) / 1000).toFixed(1)} s`);
      await world.ready();
      expect(await world.own(other)).to.deep.equal(beside);
      expect((await world.own(name)).restarts).to.equal(before.restarts + 1);
      expect(await world.seen("claimed")).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
      expect((await world.seen("shared")).exec).to.equal("0");
    });

  it("with settings for nodes of a label: driver's and agent's hold on a node that carries it", async () => {
    await node.kubectl("label", "node", "node-a", "type=metal");
    const entry = { matchLabels: { type: "metal" }, settings: { groupBy: "socket" }, agent: { foreignLoad: 35 } };
    const values = ["--set", `image.tag=${NEXT}`, "--set-json", `config.perNode=${JSON.stringify([entry])}`];
    await world.helm.upgrade(...values);
    await replaced(NEXT);
    await until("devices by socket", async () => (await grouped()).includes("cpudevsocket"), 20_000, 200);
    expect(await world.ownLogs("nri-agent")).to.include('"foreignLoad":35');
  });

  it("driver: its image is replaced in such a pod, too, whose first step goes by the template's image", async () => {
    const { id } = await world.own("nri-agent");
    const image = `${REPOSITORY}/driver:0.1.0`;
    // helm would wait for a pod that nobody replaces.
    const values = ["--reuse-values", "--set", `updateStrategy.type=OnDelete,driver.image=${image}`];
    await world.helm.run("upgrade", RELEASE, CHART, ...values);
    console.log((await replaceImage(world, "driver")).replaceAll(/^/gm, "      "));
    expect(await world.own("driver")).to.include({ image });
    expect((await world.own("nri-agent")).id, "the agent's container").to.equal(id);
    expect((await world.ownPod()).metadata.uid, "the pod").to.equal(pod);
    expect(await world.seen("claimed")).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
  });

  it("has sockets that answer soon", () => {
    for (const [name, starts] of Object.entries(world.starts)) {
      const times = [...starts.values()];
      const verdict = Math.max(...times) < BUDGET_START_MS ? "ok" : "BROKEN";
      console.log(
        `      ${name}: sockets answered ${times.join(", ")} ms after its first instruction; ${verdict}: under ${BUDGET_START_MS}`,
      );
      expect(Math.min(...times), name).to.be.below(MAX_START_MS);
    }
  });

  it("back to the first revision: as it was", async () => {
    await world.helm.run("rollback", RELEASE, "1", "--wait", "--timeout=90s");
    await replaced("0.1.0");
    await until("devices by NUMA node", async () => (await grouped()).includes("cpudevnuma"), 20_000, 200);
  });
});
