import { expect } from "chai";
import { realPaths } from "../kit/node/helm.ts";
import { allowedOf } from "../node/kernel.ts";
import { world } from "./suite.ts";
import { NAMESPACE, RELEASE, until } from "./world.ts";

const KINDS =
  "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,deviceclasses";

describe("helm uninstall", function () {
  this.timeout(180_000);
  const { node } = world;
  const remains = async (): Promise<string[]> => {
    const label = ["-l", `app.kubernetes.io/instance=${RELEASE}`, "-o", "name"];
    const texts = await Promise.all([
      node.kubectl("get", KINDS, ...label),
      node.kubectl("get", "all,configmaps,serviceaccounts,roles,rolebindings", "-n", NAMESPACE, ...label),
    ]);
    return texts
      .join("")
      .split("\n")
      .filter((line) => line !== "");
  };
  const gone = async (): Promise<void> => {
    await until("the product's pods are gone", async () => (await remains()).length === 0, 60_000, 500);
    expect(await world.traces()).to.deep.equal([]);
  };

  before(async () => {
    // Left by the parts before, where these ran.
    const there = await node.kubectl("get", "pods", "-o", "name");
    for (const pod of [{ name: "shared" }, { name: "claimed", template: "one" }]) {
      if (there.split("\n").includes(`pod/${pod.name}`)) continue;
      await world.createPod(pod);
      await world.running(pod.name);
    }
  });

  it("refuses while a claim has CPUs, names it, and changes nothing", async () => {
    // Reserved CPUs narrow other containers also where there is no claim.
    await world.helm.upgrade("--set-string", "config.driver.reservedCPUs=0");
    await world.ready();
    const refusal = await world.helm
      .run("uninstall", RELEASE, "--timeout=60s")
      .catch((cause: unknown) => String(cause));
    expect(refusal).to.include(`${RELEASE}-uninstall-check`);
    const said = await node.kubectl("logs", "-n", NAMESPACE, `job/${RELEASE}-uninstall-check`);
    expect(said).to.match(/claim default\/claimed-cpus-\S+ on node node-a: used by pod claimed/);
    await world.ready();
    expect((await world.seen("claimed")).exec).to.equal("1");
  });

  it("leaves nothing: no slice, spec, socket, object, and no container that may not run everywhere", async () => {
    await world.remove("claimed");
    const { pid } = await world.place("shared");
    await until("the shared pod is off the reserved CPU", () => allowedOf(pid) === "1", 20_000);
    const began = Date.now();
    console.log((await world.helm.run("uninstall", RELEASE, "--timeout=150s")).trimEnd().replaceAll(/^/gm, "      "));
    console.log(`      took ${((Date.now() - began) / 1000).toFixed(1)} s`);
    await gone();
    expect(allowedOf(pid), "mask of a process that ran all the time").to.equal("0-1");
    expect((await world.seen("shared")).exec).to.equal("0-1");
  });

  it("and install again works as the first time, also with the directories where this node really has them", async () => {
    await world.helm.install(...realPaths(world.node));
    await world.ready();
    await world.createPod({ name: "again", template: "one" });
    await world.running("again");
    expect(await world.seen("again")).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
    await world.remove("again", "shared");
    await world.helm.run("uninstall", RELEASE, "--timeout=150s");
    await gone();
  });
});
