import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { binary } from "../build/build.ts";
import { realPaths } from "../kit/node/helm.ts";
import { allowedOf } from "../node/kernel.ts";
import { world } from "./suite.ts";
import { NAMESPACE, RELEASE, until } from "./world.ts";

const ROOT = join(import.meta.dirname, "..", "..");
/** The agent is not the first of the pod's init containers then. */
const BY_LABEL = { matchLabels: { type: "any" }, agent: { foreignLoad: 35 } };
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
    await world.nothingIsLeft();
  };

  before(() => world.twoPods());

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
    expect(said).to.include(`helm rollback ${RELEASE} REVISION -n ${NAMESPACE}`);
    await world.ready();
    expect((await world.seen("claimed")).exec).to.equal("1");
  });

  it("is kept after that as docs/install.md has it: rolled back to its last revision, and not touched by it", async () => {
    const { metadata } = await world.ownPod();
    const again = await world.helm.upgrade("--reuse-values").catch((cause: unknown) => String(cause));
    expect(again).to.include("has no deployed releases");
    const history = await world.helm.run("history", RELEASE, "-o", "json");
    const last = (JSON.parse(history) as { revision: number; status: string }[]).at(-1);
    expect(last?.status).to.equal("uninstalling");
    await world.helm.run("rollback", RELEASE, String(last?.revision), "--wait", "--timeout=60s");
    await world.helm.upgrade("--reuse-values", "--set", "uninstall.force=true");
    await world.helm.upgrade("--reuse-values", "--set", "uninstall.force=false");
    await world.ready();
    expect((await world.ownPod()).metadata.uid, "the pod").to.equal(metadata.uid);
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

  it("by force leaves nothing either though a claim's pod runs, which runs on where it is, and so may all others", async () => {
    await world.helm.install("--set", "uninstall.force=true");
    await world.twoPods();
    const [claimed, shared] = [(await world.place("claimed")).pid, (await world.place("shared")).pid];
    expect([allowedOf(claimed), allowedOf(shared)]).to.deep.equal(["1", "0"]);
    await world.helm.run("uninstall", RELEASE, "--timeout=150s");
    await gone();
    expect([allowedOf(claimed), allowedOf(shared)], "masks of processes that ran all the time").to.deep.equal([
      "1",
      "0-1",
    ]);
    await world.killFirstProcess("claimed");
    await world.event("claimed", "unresolvable CDI devices dra.k8s.io/cpu=claim-");
    await node.kubectl("delete", "pod", "claimed", "--wait=false");
  });

  it("that is not done in time names the nodes, goes on without its Job, and is ended as docs/troubleshooting.md has it", async () => {
    const there = (): Promise<string> => node.kubectl("get", "pods", "-o", "name");
    expect(await there(), "the one before, until a driver lets its claim go").to.include("pod/claimed");
    await world.helm.install("--set", "uninstall.timeoutSeconds=8");
    await world.ready();
    await until("its pod goes", async () => !(await there()).includes("pod/claimed"), 60_000, 200);
    await world.objectNode("out-of-reach", false);
    const failed = await world.helm.run("uninstall", RELEASE).catch((cause: unknown) => String(cause));
    expect(failed).to.include(`${RELEASE}-uninstall-wait`);
    const left = await node.kubectl("logs", "-n", NAMESPACE, `job/${RELEASE}-uninstall-wait`);
    expect(left).to.match(/\d of 2 nodes are clean; not yet: .*node out-of-reach \(pod /);
    await node.kubectl("delete", "node", "out-of-reach");
    await world.removeOwnOn("out-of-reach");
    const named = `${RELEASE}-uninstall`;
    const ready = '{.items[*].status.conditions[?(@.type=="Ready")].status}';
    const pods = ["get", "pods", "-n", NAMESPACE, "-l", `dra.cpu/clean-up=${named}`, "-o"];
    const isClean = async (): Promise<boolean> => (await node.kubectl(...pods, `jsonpath=${ready}`)) === "True";
    await until("the node is clean", isClean, 60_000, 500);
    const account = "jsonpath={.items[*].spec.serviceAccountName} {.items[*].spec.volumes[*].projected}";
    expect((await node.kubectl(...pods, account)).trim()).to.equal(`${named}-clean`);
    const rest = [`daemonset/${named}`, `configmap/${named}`, `serviceaccount/${named}-clean`, `job/${named}-wait`];
    await node.kubectl("delete", "-n", NAMESPACE, ...rest);
    const slices = async (): Promise<string> => node.kubectl("get", "resourceslices", "-o", "name");
    await until("the kubelet has deleted the slices", async () => (await slices()) === "", 60_000, 500);
    await gone();
  });

  it("by the commands without helm's hooks in docs/install.md: refuses as well, and leaves nothing", async () => {
    const dir = join(node.dir, "without-hooks");
    mkdirSync(dir);
    symlinkSync(join(ROOT, "charts"), join(dir, "charts"));
    writeFileSync(
      join(dir, "values.yaml"),
      `config: ${JSON.stringify({ driver: { groupBy: "machine" }, perNode: [BY_LABEL] })}\n`,
    );
    const text = readFileSync(join(ROOT, "docs", "install.md"), "utf8");
    const commands = /### Without helm's hooks[\s\S]*?```\n([\s\S]*?)```/.exec(text)?.[1] ?? expect.fail("no commands");
    const path = [dirname(binary("kube", "kubectl")), dirname(binary("helm", "helm"))].join(":");
    const script = `export PATH=${path}:$PATH KUBECONFIG=${node.kubeconfig}; cd ${dir} && { { ${commands} } && echo DONE; } 2>&1 || echo STOPPED`;
    const type = (): Promise<string> => node.run("bash", ["-c", script]);

    await world.helm.install("--values", join(dir, "values.yaml"));
    await world.ready();
    await world.createPod({ name: "kept", template: "one" });
    await world.running("kept");
    const refused = await type();
    expect(refused)
      .to.match(/claim default\/kept-cpus-\S+ on node node-a: used by pod kept/)
      .and.include("STOPPED");
    await world.ready();
    expect((await world.seen("kept")).exec).to.equal("1");
    await world.remove("kept");
    expect(await type()).to.include("DONE");
    await world.helm.run("uninstall", RELEASE, "--no-hooks");
    await gone();
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
