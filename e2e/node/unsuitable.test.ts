import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { world } from "./suite.ts";
import { until } from "./world.ts";

interface Slices {
  readonly items: readonly { readonly spec: { readonly devices?: readonly object[] } }[];
}

describe("a real node that cannot do the work", function () {
  this.timeout(180_000);
  const { node, pair } = world;
  const devices = async (): Promise<number> => {
    const { items } = await node.json<Slices>("get", "resourceslices");
    return items.reduce((sum, one) => sum + (one.spec.devices ?? []).length, 0);
  };
  const status = async (port: number): Promise<string> => {
    const code = `fetch("http://127.0.0.1:${port}/readyz").then(async (r) => process.stdout.write(r.status + " " + (await r.text())))`;
    return node.run(process.execPath, ["-e", code]);
  };
  const eventSays = (code: string): Promise<boolean> =>
    until(
      `an Event of the node with ${code}`,
      async () => (await node.kubectl("get", "events")).includes(code),
      20_000,
    );
  const stopped = async (name: string): Promise<void> => {
    node.daemon(name).signal("SIGKILL");
    await node.daemon(name).exited;
  };
  /** The kubelet refuses to start with a state of another policy. */
  const kubeletWith = async (more: object): Promise<void> => {
    await stopped("kubelet");
    rmSync(join(node.kubeletRootDir, "cpu_manager_state"), { force: true });
    node.startKubelet("10s", more);
  };

  it("offers nothing while the kubelet's CPU manager is static, says so, and keeps what runs", async () => {
    await world.createPod({ name: "before", template: "one" });
    await world.running("before");
    const seen = await world.seen("before");
    await kubeletWith({ cpuManagerPolicy: "static", reservedSystemCPUs: "0" });
    try {
      const began = performance.now();
      await until("no device is offered", async () => (await devices()) === 0, 60_000);
      console.log(`      no devices ${((performance.now() - began) / 1000).toFixed(1)} s after the kubelet's start`);
      const text = await status(8080);
      expect(text, "nobody's rollout waits for it").to.match(/^200 unsuitable: .*policy static.*\[DRACPU-502\]/);
      console.log(`      ${text.trim()}`);
      await eventSays("DRACPU-502");
      expect(await world.seen("before"), "what ran runs where it ran").to.deep.equal(seen);
      await world.createPod({ name: "after", template: "one" });
      await until(
        "the scheduler finds no device",
        async () => (await node.kubectl("get", "events")).includes("cannot allocate all claims"),
        30_000,
      );
    } finally {
      await kubeletWith({});
    }
    await until("devices are offered again", async () => (await devices()) > 0, 60_000);
    await until("it is ready", async () => (await status(8080)).startsWith("200 ok"), 60_000);
    await world.running("before");
  });

  it("offers nothing where the runtime has no NRI, says so, and works once it has", async () => {
    await stopped("containerd");
    pair.agent?.signal("SIGKILL");
    await pair.agent?.exited;
    rmSync(node.nriSocket, { force: true });
    node.startContainerd(true);
    await node.containerdReady();
    pair.startAgent();
    try {
      await until("no device is offered", async () => (await devices()) === 0, 60_000);
      for (const port of [8080, 8081]) {
        const text = await status(port);
        expect(text).to.match(/^200 unsuitable: .*NRI is disabled.*\[DRACPU-504\]/);
        console.log(`      ${text.trim()}`);
      }
      await eventSays("DRACPU-504");
    } finally {
      await stopped("containerd");
      node.startContainerd();
      await node.containerdReady();
    }
    await until("devices are offered again", async () => (await devices()) > 0, 60_000);
    await pair.ready();
    await world.createPod({ name: "later", template: "one" });
    await world.running("later");
  });
});
