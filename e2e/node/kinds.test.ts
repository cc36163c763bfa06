import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { IMAGE } from "../kit/image/image.ts";
import { NODE_NAME } from "../kit/node/node.ts";
import { allowedIn } from "./kernel.ts";
import { pod } from "./objects.ts";
import { world } from "./suite.ts";
import { until } from "./world.ts";

/** CPUs of claims, and of everybody else. */
const [CLAIMED, SHARED] = ["1", "0"];

interface PodObject {
  readonly metadata: object;
  readonly spec: object;
}

// Whatever Kubernetes calls a container: with the claim it has the claim's CPUs alone, without it is off them from its first instruction.
describe("containers of every kind", function () {
  this.timeout(120_000);
  const { node } = world;

  const container = (name: string, more: object = {}): object => ({
    name,
    image: IMAGE,
    imagePullPolicy: "Never",
    command: ["/probe"],
    ...more,
  });
  const claiming = { resources: { claims: [{ name: "cpus" }] } };
  /** Of its first instruction. */
  const first = (name: string, which: string): Promise<string> =>
    until(
      `container ${which} of pod ${name} runs`,
      async () => allowedIn(await node.kubectl("logs", name, "-c", which)) || undefined,
      60_000,
      200,
    );
  const now = async (name: string, which: string): Promise<string> =>
    allowedIn(await world.exec(name, which, "cat", "/proc/self/status"));

  it("init containers, sidecars and debuggers: those that name the claim have it", async () => {
    const plain = pod({ name: "kinds", template: "one" }) as PodObject;
    await node.apply({
      ...plain,
      spec: {
        ...plain.spec,
        initContainers: [
          container("init", { ...claiming, command: ["cat", "/proc/self/status"] }),
          container("init-plain", { command: ["cat", "/proc/self/status"] }),
          container("sidecar", { ...claiming, restartPolicy: "Always" }),
          container("sidecar-plain", { restartPolicy: "Always" }),
        ],
      },
    });
    await world.running("kinds", 60_000);
    const debuggers = [container("debugger", { targetContainerName: "c0" })];
    await node.kubectl(
      ...["patch", "pod", "kinds", "--subresource=ephemeralcontainers"],
      ...["-p", JSON.stringify({ spec: { ephemeralContainers: debuggers } })],
    );
    for (const [which, wanted] of [
      ["init", CLAIMED],
      ["init-plain", SHARED],
      ["sidecar", CLAIMED],
      ["sidecar-plain", SHARED],
      ["c0", CLAIMED],
      ["debugger", SHARED],
    ] as const)
      expect(await first("kinds", which), which).to.equal(wanted);
    for (const [which, wanted] of [
      ["sidecar", CLAIMED],
      ["sidecar-plain", SHARED],
      ["c0", CLAIMED],
      ["debugger", SHARED],
    ] as const)
      expect(await now("kinds", which), which).to.equal(wanted);
  });

  it("static pods, and pods in the host's pid namespace: as everybody without a claim", async () => {
    const name = `fixed-${NODE_NAME}`;
    const manifest = join(node.staticPods, "fixed.json");
    writeFileSync(manifest, JSON.stringify(pod({ name: "fixed" })));
    try {
      const plain = pod({ name: "hostpid" }) as PodObject;
      await node.apply({ ...plain, spec: { ...plain.spec, hostPID: true } });
      await world.running("hostpid");
      await until("the static pod runs", () => world.running(name, 1000).then(() => true), 60_000);
      await world.createPod({ name: "claimed", template: "one" });
      await world.running("claimed");
      expect((await world.seen("claimed")).exec).to.equal(CLAIMED);
      for (const each of [name, "hostpid"]) expect(await now(each, "c0"), each).to.equal(SHARED);
    } finally {
      rmSync(manifest);
    }
    await until("it is gone", async () => !(await node.kubectl("get", "pods", "-o", "name")).includes(name), 60_000);
  });
});
