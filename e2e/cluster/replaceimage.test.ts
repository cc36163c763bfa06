import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import { binary } from "../build/build.ts";
import { DaemonSetServer, type Template } from "./daemonsetserver.ts";

const SCRIPT = join(import.meta.dirname, "..", "..", "charts", "replace-image.sh");
const OLD: Template = { driver: "reg/driver:1", agent: "reg/agent:1", checksum: "c1" };
const NEW: Template = { ...OLD, agent: "reg/agent:2" };
/** As of a node with hundreds of containers. */
const STATE = JSON.stringify({ truth: "TRUTH_CONFIRMED", rest: "x".repeat(500_000) }, undefined, 1);

// Real kubectl; the API server plays a DaemonSet, and its kubelets restart what is patched. What a cluster's own words are, each.test.ts sees.
describe("replace-image.sh", function () {
  this.timeout(60_000);
  let dir = "";
  let cluster = new DaemonSetServer(OLD);
  let http: Server | undefined;

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "replace-"));
    cluster = new DaemonSetServer(OLD);
  });
  afterEach(() => {
    http?.close();
    http?.closeAllConnections();
    http = undefined;
    rmSync(dir, { recursive: true });
  });

  const run = async (): Promise<{ status: number; out: string }> => {
    http ??= await cluster.serve();
    const { port } = http.address() as AddressInfo;
    const kubectl = join(dir, "kubectl");
    // Only what a pod says is no matter of the API server's objects: kubectl -n NS exec POD ...
    const exec = `[ -e ${dir}/$4 ] && exec cat ${dir}/$4; echo "container not found" >&2; exit 1`;
    const real = `exec ${binary("kube", "kubectl")} --server=http://127.0.0.1:${port} "$@"`;
    writeFileSync(kubectl, `#!/bin/sh\nif [ "$3" = exec ]; then ${exec}; fi\n${real}\n`);
    chmodSync(kubectl, 0o755);
    for (const { name, isDead } of cluster.pods) if (!isDead) writeFileSync(join(dir, name), STATE);
    cluster.onStart = (name) => writeFileSync(join(dir, name), STATE);
    const env = { ...process.env, HOME: dir, KUBECONFIG: "/dev/null", PATH: `${dir}:${process.env["PATH"] ?? ""}` };
    return promisify(execFile)(SCRIPT, ["ns", "dracpu", "nri-agent"], { env, cwd: dirname(SCRIPT) }).then(
      ({ stdout, stderr }) => ({ status: 0, out: stdout + stderr }),
      (cause: { code: number; stdout: string; stderr: string }) => ({
        status: cause.code,
        out: cause.stdout + cause.stderr,
      }),
    );
  };

  it("waits until no pod of the node is being stopped, sidecars last of all", async () => {
    cluster.addPod("a");
    cluster.ending.set("a", ["containerStatuses", "ephemeralContainerStatuses", "initContainerStatuses"]);
    cluster.setTemplate(NEW);
    expect((await run()).status).to.equal(0);
    expect(cluster.ending.get("a")).to.deep.equal([]);
    expect(cluster.pods[0]?.agent).to.equal("reg/agent:2");
  });

  it("replaces the image on every node, whatever the runtime calls it, and marks the pods as current", async () => {
    cluster.addPod("a");
    cluster.addPod("b");
    cluster.setTemplate(NEW);
    expect(await run()).to.deep.equal({
      status: 0,
      out: ["a", "b"].map((node) => `node ${node}: nri-agent is reg/agent:2, driver and agent agree\n`).join(""),
    });
    expect(cluster.pods.map(({ agent, driver, hash }) => [agent, driver, hash])).to.deep.equal([
      ["reg/agent:2", "reg/driver:1", "hash-2"],
      ["reg/agent:2", "reg/driver:1", "hash-2"],
    ]);
    const patched = cluster.patches;
    expect((await run()).status).to.equal(0);
    expect(cluster.patches, "once more there is nothing to do").to.equal(patched);
  });

  it("leaves nodes that are not ready out, does the others, and ends by naming them", async () => {
    cluster.addPod("a", { isReady: false });
    cluster.addPod("b");
    cluster.setTemplate(NEW);
    const { status, out } = await run();
    expect({ status, images: cluster.pods.map(({ agent }) => agent) }).to.deep.equal({
      status: 1,
      images: ["reg/agent:1", "reg/agent:2"],
    });
    expect(out)
      .to.include("node b: nri-agent is reg/agent:2")
      .and.match(/Left out.*: a\n$/);
  });

  it("mends a container that does not run for its image", async () => {
    cluster.addPod("a", { isDead: true });
    cluster.setTemplate(NEW);
    expect((await run()).out).to.equal("node a: nri-agent is reg/agent:2, driver and agent agree\n");
  });

  const LABELS = { image: "reg/driver:1", arg: "--label=a" };
  it("goes on where a step that has ended would be of another image: it is not replaced", async () => {
    cluster = new DaemonSetServer({ ...OLD, labels: LABELS });
    cluster.addPod("a");
    cluster.setTemplate({ ...NEW, labels: { ...LABELS, image: "reg/driver:2" } });
    expect(await run()).to.include({ status: 0 });
    expect(cluster.pods[0]?.agent).to.equal("reg/agent:2");
  });

  for (const [what, template, says] of [
    [
      "a step before the agent that the template has and it has not",
      { ...NEW, labels: LABELS },
      "the pod itself: volumes",
    ],
    [
      "the other image",
      { ...NEW, driver: "reg/driver:2" },
      "image of driver: reg/driver:1, in the template reg/driver:2",
    ],
    [
      "the configuration",
      { ...NEW, checksum: "c2" },
      'checksum/config stands for the configuration: {"checksum/config":"c1"}',
    ],
    ["an argument of the container", { ...NEW, agentArg: "--x" }, "container nri-agent: arguments"],
    ["an argument of the other container", { ...NEW, driverArg: "--x" }, "container driver: arguments"],
    ["a volume", { ...NEW, volume: "more" }, "the pod itself: volumes"],
    ["an image that somebody changed in it", NEW, "image of driver: reg/driver:other, in the template reg/driver:1"],
  ] as const)
    it(`stops before a pod that differs in ${what} as well, and says so`, async () => {
      cluster.addPod("a", what.includes("somebody") ? { driver: "reg/driver:other" } : {});
      cluster.setTemplate(template);
      const { status, out } = await run();
      expect(status).to.equal(1);
      expect(out).to.include("node a (pod-a) differs from the template in more than the image of nri-agent");
      expect(out.split("\n").filter((line) => line.startsWith("  - "))).to.have.length(1);
      expect(out).to.include(says);
      expect(cluster.patches).to.equal(0);
    });
});
