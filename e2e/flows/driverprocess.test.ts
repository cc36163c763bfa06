import { existsSync, mkdirSync, readdirSync, rmSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { allocatedClaim, type DriverProcess } from "../kit/driver.ts";
import type { ClaimReference } from "../kit/fakecluster/kubelet.ts";
import { DriverNode } from "../kit/drivernode.ts";
import { until } from "../kit/node/processes.ts";

// The driver as a process: the bytes of API server and kubelet, a machine from a text overlay, the agent's real contract socket.
describe("the driver's process", function () {
  this.timeout(60_000);
  const node = new DriverNode(18_098);
  const { api, kubelet, agent } = node;
  let driver: DriverProcess;
  before(async () => {
    await node.listen();
    ({ driver } = node);
    await node.serveAgent();
    await node.up();
    await node.ready();
  });
  after(() => node.end());
  const notReady = (words: string): Promise<unknown> =>
    until(`readiness says ${words}`, async () => (await (await fetch(node.readyz)).text()).includes(words), 20_000, 20);
  const claimed = (name: string, cpus: number): ClaimReference => node.claimed(name, cpus);

  it("registers with version v1, publishes one slice of its node, and lets nobody else at its sockets", () => {
    expect(kubelet.info).to.include({ type: "DRAPlugin", name: "dra.cpu" });
    expect(kubelet.info?.supportedVersions).to.deep.equal(["v1.DRAPlugin"]);
    const [slice] = [...api.slices.values()];
    expect(slice?.spec).to.deep.include({ driver: "dra.cpu", nodeName: "node-1" });
    expect(slice?.spec.devices?.[0]).to.deep.include({ name: "cpudevnuma000", allowMultipleAllocations: true });
    for (const socket of [
      join(kubelet.rootDir, "plugins/dra.cpu/dra.sock"),
      join(kubelet.rootDir, "plugins_registry/dra.cpu-reg.sock"),
    ])
      expect(statSync(socket).mode & 0o777).to.equal(0o600);
  });

  it("prepares and unprepares, and says UIDs that differ", async () => {
    const ref = claimed("a", 2);
    const prepared = await kubelet.prepare(ref);
    expect(prepared.error).to.equal("");
    expect(
      prepared.devices.map((one) => [one.poolName, one.deviceName, one.requestNames, one.cdiDeviceIds]),
    ).to.deep.equal([["node-1", "cpudevnuma000", ["cpus"], ["dra.k8s.io/cpu=claim-uid-a-cpus"]]]);
    expect((await kubelet.prepare({ ...ref, uid: "another" })).error).to.include("it was replaced");
    expect(await kubelet.unprepare(ref)).to.equal("");
    expect(await kubelet.unprepare(ref)).to.equal("");
  });

  it("answers for each of 32 claims that come at once", async () => {
    const refs = Array.from({ length: 32 }, (_, n) => claimed(`many${n}`, 1));
    const served = refs.map(async (ref, n) => {
      const outcome = await kubelet.prepare(ref);
      expect(outcome.error, `claim ${n}`).to.equal("");
      expect(await kubelet.unprepare(ref)).to.equal("");
    });
    await Promise.all(served);
    expect(agent.counts["errors"] ?? 0).to.equal(0);
  });

  it("refuses in words what is no whole allocation of ours, and loses nothing by it", async () => {
    const held = await kubelet.prepare(claimed("held", 1));
    expect(held.error).to.equal("");
    const wrong: readonly [string, (result: Record<string, unknown>) => unknown, string][] = [
      [
        "fractional",
        (one) => ({ ...one, consumedCapacity: { "dra.cpu/cpu": "1500m" } }),
        "request cpus, device cpudevnuma000: its capacity dra.cpu/cpu is 1500m; exclusive CPUs come whole",
      ],
      [
        "missing",
        (one) => ({ ...one, consumedCapacity: undefined }),
        "request cpus, device cpudevnuma000: it has no consumed capacity dra.cpu/cpu; the cluster needs the feature gate DRAConsumableCapacity (on by default from 1.36)",
      ],
      [
        "device",
        (one) => ({ ...one, device: "cpudevnuma007" }),
        "this node offers no device cpudevnuma007 (it offers cpudevnuma000); delete the pod, so that the scheduler allocates anew",
      ],
      [
        "driver",
        (one) => ({ ...one, driver: "gpu.example" }),
        "none of its allocated devices is of driver dra.cpu (they are of gpu.example)",
      ],
      [
        "pool",
        (one) => ({ ...one, pool: "elsewhere" }),
        "device cpudevnuma000 is of pool elsewhere; this node's pool is node-1",
      ],
    ];
    for (const [name, change, words] of wrong) {
      const { claim, ref } = allocatedClaim(name, 1);
      const [result] = claim.status?.allocation?.devices?.results ?? [];
      api.claims.set(`default/${name}`, {
        ...claim,
        status: { ...claim.status, allocation: { devices: { results: [change(result as never) as never] } } },
      });
      const { error } = await kubelet.prepare(ref);
      expect(error).to.equal(`dra.cpu: Cannot prepare claim default/${name}: ${words} [DRACPU-201]`);
    }
    const { claim, ref } = allocatedClaim("unallocated", 1);
    api.claims.set("default/unallocated", { metadata: claim.metadata });
    expect((await kubelet.prepare(ref)).error).to.equal(
      "dra.cpu: Cannot prepare claim default/unallocated: it is not allocated; the scheduler has to allocate it first [DRACPU-201]",
    );
    expect((await kubelet.prepare({ namespace: "default", name: "held", uid: "uid-held" })).error).to.equal("");
    expect(await kubelet.unprepare({ namespace: "default", name: "held", uid: "uid-held" })).to.equal("");
  });

  it("publishes again what somebody deletes or changes, and after a watch that expired", async () => {
    const [name = ""] = [...api.slices.keys()];
    api.deleteSlice(name);
    await until("the slice is back", () => api.slices.has(name), 5000, 20);
    api.endWatches(true);
    const lists = (): number =>
      api.requests.filter((one) => one === "GET /apis/resource.k8s.io/v1/resourceslices").length;
    const before = lists();
    await until("it lists again", () => lists() > before, 10_000, 20);
    api.deleteSlice(name);
    await until("the slice is back", () => api.slices.has(name), 10_000, 20);
  });

  it("waits for an API server that answers 500, 429 or not at all, and prepares when it is back", async () => {
    const refs = [500, 429, 0].map((code) => ({ code, ref: claimed(`late${code}`, 1) }));
    for (const { code, ref } of refs) {
      api.fault = { code, message: "not now", retryAfter: 0 };
      const answer = kubelet.prepare(ref);
      await new Promise((resolve) => setTimeout(resolve, 300));
      api.fault = undefined;
      expect((await answer).error, String(code)).to.equal("");
      expect(await kubelet.unprepare(ref)).to.equal("");
    }
    api.fault = { code: 403, message: "resourceclaims is forbidden" };
    expect((await kubelet.prepare(claimed("forbidden", 1))).error).to.include("resourceclaims is forbidden");
    api.fault = undefined;
  });

  it("writes an Event for a container that names a request its claim lacks", async () => {
    const ref = claimed("odd", 1);
    const resources = { claims: [{ name: "c", request: "cpu" }] };
    api.pods.set("pod-odd", {
      metadata: { name: "pod-odd", namespace: "default", uid: "pod-odd" },
      spec: { resourceClaims: [{ name: "c", resourceClaimName: "odd" }], containers: [{ name: "main", resources }] },
    });
    expect((await kubelet.prepare(ref)).error).to.equal("");
    const told = (reason: string) => api.events.find((one) => one.reason === reason && one.message !== "");
    await until("the Event is there", () => told("RequestUnknown") !== undefined, 5000, 20);
    expect(told("RequestUnknown")).to.deep.include({ type: "Warning" });
    expect(told("Prepared")).to.deep.include({ type: "Normal" });
    expect(told("RequestUnknown")?.involvedObject).to.include({ kind: "Pod", name: "pod-odd", uid: "pod-odd" });
    expect(await kubelet.unprepare(ref)).to.equal("");
  });

  it("unprepares without an API server", async () => {
    const ref = claimed("known", 1);
    expect((await kubelet.prepare(ref)).error).to.equal("");
    api.fault = { code: 0, message: "" };
    expect(await kubelet.unprepare(ref)).to.equal("");
    api.fault = undefined;
  });

  it("says why it is not ready: registration refused, gate off, slices refused", async () => {
    await kubelet.register("plugin version not supported");
    await notReady("the kubelet refused this driver: plugin version not supported");
    await kubelet.register();
    api.dropsSharedDevices = true;
    api.deleteSlice([...api.slices.keys()][0] ?? "");
    await notReady("DRAConsumableCapacity");
    // CPU 0 is kept for the shared pool.
    const individual = [1, 2, 3, 4, 5, 6, 7].map((id) => `cpudev00${id}`).join();
    const names = (): string[] =>
      [...api.slices.values()].flatMap((one) => (one.spec.devices ?? []).map(({ name }) => name));
    await until("CPUs are offered one by one", () => names().sort().join() === individual, 5000, 20);
    api.dropsSharedDevices = false;
    api.fault = { code: 422, message: "spec.devices[0]: Invalid value" };
    api.faulty = (method) => method === "PATCH";
    api.deleteSlice([...api.slices.keys()][0] ?? "");
    await notReady("spec.devices[0]: Invalid value");
    api.fault = undefined;
    api.faulty = () => true;
    await node.ready();
  });

  it("makes its sockets again when they are deleted", async () => {
    unlinkSync(join(kubelet.rootDir, "plugins_registry/dra.cpu-reg.sock"));
    unlinkSync(join(kubelet.rootDir, "plugins/dra.cpu/dra.sock"));
    await kubelet.register();
    const ref = claimed("again", 1);
    expect((await kubelet.prepare(ref)).error).to.equal("");
    expect(await kubelet.unprepare(ref)).to.equal("");
  });

  it("says that the kubelet needs a restart when the directory is made anew that it looks into, until it asks", async () => {
    const registry = join(kubelet.rootDir, "plugins_registry");
    rmSync(registry, { recursive: true });
    mkdirSync(registry);
    await notReady(`${registry} was deleted and made anew: restart the kubelet`);
    await kubelet.register();
    await node.ready();
  });

  it("refuses a claim whose CDI file cannot be written, and writes it when it can", async () => {
    const ref = claimed("cdi", 1);
    rmSync(driver.cdiDir, { recursive: true });
    // Permissions do not stop root; a file in the directory's place does.
    writeFileSync(driver.cdiDir, "");
    const { error } = await kubelet.prepare(ref);
    expect(error).to.include(driver.cdiDir).and.include("default/cdi");
    unlinkSync(driver.cdiDir);
    expect((await kubelet.prepare(ref)).error).to.equal("");
    expect(readdirSync(driver.cdiDir).length).to.equal(1);
    expect(await kubelet.unprepare(ref)).to.equal("");
  });

  it("ends on SIGTERM with its sockets gone", async () => {
    await driver.daemon?.stop();
    expect(await driver.daemon?.exited).to.equal(0);
    expect(existsSync(join(kubelet.rootDir, "plugins_registry/dra.cpu-reg.sock"))).to.equal(false);
    expect(existsSync(join(kubelet.rootDir, "plugins/dra.cpu/dra.sock"))).to.equal(false);
  });
});
