import { rmSync } from "node:fs";
import { expect } from "chai";
import { world } from "./suite.ts";
import { NAMESPACE, NODE_NAME, RELEASE, until } from "./world.ts";

describe("helm install --wait on a node whose runtime has NRI off", function () {
  this.timeout(120_000);
  const { node } = world;
  const containerd = async (nriIsOff: boolean): Promise<void> => {
    await node.daemon("containerd").stop();
    if (nriIsOff) rmSync(node.nriSocket, { force: true });
    node.startContainerd(nriIsOff);
    await node.containerdReady();
  };
  const devices = (): Promise<string> =>
    node.kubectl("get", "resourceslices", "-o", "jsonpath={.items[*].spec.devices[*].name}");

  before(() => containerd(true));
  after(async () => {
    await world.helm.run("uninstall", RELEASE, "--timeout=150s");
    await world.nothingIsLeft();
  });

  it("is done, and so is the rollout; the node says why it is unsuitable, and offers nothing", async () => {
    await world.helm.install();
    const status = JSON.parse(await world.helm.run("status", RELEASE, "-o", "json")) as { info: { status: string } };
    expect(status.info.status).to.equal("deployed");
    await node.kubectl("rollout", "status", "-n", NAMESPACE, `daemonset/${RELEASE}`, "--timeout=5s");
    const events = [
      "get",
      "events",
      "-A",
      "--field-selector",
      `involvedObject.kind=Node,involvedObject.name=${NODE_NAME}`,
    ];
    const told = 'jsonpath={range .items[*]}{.message}{"\\n"}{end}';
    await until("an Event of the node says it", async () =>
      /NRI is disabled.*\[DRACPU-504\]/.test(await node.kubectl(...events, "-o", told)),
    );
    expect(await world.ownLogs("driver")).to.include("DRACPU-504");
    expect(await devices()).to.equal("");
    expect((await world.own("driver")).restarts + (await world.own("nri-agent")).restarts).to.equal(0);
  });

  it("offers its CPUs by itself when the runtime has NRI", async () => {
    await containerd(false);
    await until("devices are offered", async () => (await devices()) === "cpudevnuma000", 40_000, 200);
    await world.ready();
  });
});
