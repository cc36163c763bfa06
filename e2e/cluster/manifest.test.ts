import { join } from "node:path";
import { expect } from "chai";
import { world } from "./suite.ts";
import { NAMESPACE, until } from "./world.ts";

const FILE = join(import.meta.dirname, "..", "..", "install.yaml");

describe("kubectl apply -f install.yaml", function () {
  this.timeout(120_000);
  const { node } = world;

  it("does what helm does", async () => {
    await node.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true");
    await node.kubectl("apply", "-f", FILE);
    await node.kubectl("rollout", "status", "-n", NAMESPACE, "daemonset/dra-driver-cpu", "--timeout=60s");
    await world.ready();
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    expect(await world.seen("claimed")).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
    await world.remove("claimed");
  });

  it("is taken away by kubectl delete: no pod, no socket; the kubelet deletes the slices", async () => {
    await node.kubectl("delete", "-f", FILE, "--wait=true", "--timeout=60s");
    await until(
      "the kubelet has deleted the slices",
      async () => (await node.kubectl("get", "resourceslices", "-o", "name")) === "",
      60_000,
      500,
    );
    expect((await world.traces()).filter((line) => !line.startsWith("/var/lib/dra-driver-cpu"))).to.deep.equal([]);
  });
});
