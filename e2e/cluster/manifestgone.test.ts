import { dirname, join } from "node:path";
import { expect } from "chai";
import { binary } from "../build/build.ts";
import { INSTALL } from "./manifests.ts";
import { world } from "./suite.ts";
import { NAMESPACE, RELEASE, until } from "./world.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const IN_USE = /claim default\/claimed-cpus-\S+ on node node-a: used by pod claimed/;
const DAEMONSET = ["daemonset", RELEASE, "-n", NAMESPACE];
const OF_NODE = ["pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=node"];
const OF_FAR = ["pods", "-n", NAMESPACE, "--field-selector=spec.nodeName=far"];

// Begins with what the file before this one left: installed, and a claim in use.
describe("what install.yaml made is taken away", function () {
  this.timeout(180_000);
  const { node } = world;

  /** With kubectl alone on the PATH, unless it needs helm. */
  const uninstall = async (programs: readonly string[], ...args: string[]): Promise<{ ok: boolean; said: string }> => {
    const path = programs.map((one) => dirname(binary(one === "kubectl" ? "kube" : one, one))).join(":");
    const command = [join(ROOT, "charts", "uninstall.sh"), ...args].join(" ");
    const script = `export PATH=${path}:/usr/bin:/bin KUBECONFIG=${node.kubeconfig}; ${command} 2>&1 && echo DONE || echo FAILED`;
    const said = await node.run("bash", ["-c", script]);
    return { ok: said.trimEnd().endsWith("DONE"), said };
  };
  const leftOfIt = async (): Promise<string> =>
    node.kubectl(
      "get",
      "namespaces,clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,deviceclasses",
      ...["-l", `app.kubernetes.io/instance=${RELEASE}`, "-o", "name"],
    );

  it("charts/uninstall.sh refuses while a claim has CPUs, names it, and leaves everything as it was", async () => {
    const { metadata } = await world.ownPod();
    const { ok, said } = await uninstall(["kubectl"]);
    expect(ok, said).to.equal(false);
    expect(said).to.match(IN_USE).and.include("nothing was uninstalled").and.not.include("helm");
    expect((await world.ownPod()).metadata.uid).to.equal(metadata.uid);
    expect(await node.kubectl("get", "jobs,roles", "-n", NAMESPACE, "-o", "name")).to.equal("");
    expect((await world.seen("claimed")).exec).to.equal("1");
  });

  it("where it is forced it goes on, and names a node that cannot be reached in time", async () => {
    await world.objectNode("far", false);
    await until("it would have a pod", async () => (await node.kubectl("get", ...OF_FAR, "-o", "name")) !== "");
    const { ok, said } = await uninstall(
      ["kubectl", "helm"],
      ...["--force", RELEASE, "-n", NAMESPACE, "--set", "uninstall.timeoutSeconds=5"],
    );
    expect(ok, said).to.equal(false);
    expect(said)
      .to.match(IN_USE)
      .and.match(/nodes are clean; not yet: .*node far \(pod dra-driver-cpu-uninstall-/);
  });

  it("installed again before that has ended, driver and agent wait for the clean-up's, and pods start all the while", async () => {
    const locks = ["driver", "agent"].map((name) => `/var/lib/dra-driver-cpu/${name}/lock.sock`);
    expect(await world.traces()).to.include.members(locks);
    await node.kubectl("apply", "-f", INSTALL);
    const here = [...OF_NODE, "--field-selector=spec.nodeName=node-a", "-o", "name"];
    await until(
      "the agent waits",
      async () => {
        const [pod = "none"] = (await node.kubectl("get", ...here)).split("\n");
        const log = await node.kubectl("logs", "-n", NAMESPACE, pod, "-c", "nri-agent");
        return log.includes("holds the state directory; waiting until it ends");
      },
      30_000,
      500,
    );
    await world.createPod({ name: "meanwhile" });
    await world.running("meanwhile");
    await world.remove("meanwhile");
    await node.kubectl("delete", ...DAEMONSET, "--wait=true");
  });

  it("run again it goes on, and leaves nothing", async () => {
    await node.kubectl("delete", "node", "far");
    await node.kubectl("delete", ...OF_FAR, "--force", "--grace-period=0");
    const { ok, said } = await uninstall(["kubectl"], "--force");
    expect(ok, said).to.equal(true);
    expect(said).to.include("every node is clean");
    await world.nothingIsLeft();
    expect(await leftOfIt()).to.equal("");
    expect(await node.kubectl("get", "namespace", NAMESPACE, "--ignore-not-found")).to.equal("");
  });

  it("by kubectl delete as well: no pod, no socket; the kubelet deletes the slices, and nodes are cleaned later", async () => {
    await world.applyManifest(INSTALL);
    await world.remove("claimed");
    await node.kubectl("delete", "-f", INSTALL, "--wait=true", "--timeout=60s");
    await until(
      "the kubelet has deleted the slices",
      async () => (await node.kubectl("get", "resourceslices", "-o", "name")) === "",
      60_000,
      500,
    );
    const before = await world.traces();
    expect(before).not.to.deep.equal([]);
    expect(before.filter((line) => !line.startsWith("/var/lib/dra-driver-cpu"))).to.deep.equal([]);
    const { ok, said } = await uninstall(["kubectl"]);
    expect(ok, said).to.equal(true);
    await world.nothingIsLeft();
    expect(await leftOfIt()).to.equal("");
  });
});
