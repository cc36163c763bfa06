import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { bornAt, isThere, uptime } from "./kernel.ts";
import { claim, SAMPLER } from "./objects.ts";
import { world } from "./suite.ts";
import { until } from "./world.ts";
import { bestOf } from "../kit/rounds.ts";

// One node of 2 CPUs, cgroup v1: CPU 0 is kept for the shared pool, CPU 1 is the claims'.
const CLAIMED = { exec: "1", first: "1", cgroup: "1" };
const SHARED = { exec: "0", first: "0", cgroup: "0" };

/** Uptime in seconds at which a pod with the sampler first saw itself on `list`, after having been on another one. */
async function changedTo(name: string, list: string): Promise<number> {
  const line = (await world.node.kubectl("logs", name)).split("\n").findLast((one) => one !== "") ?? "";
  expect(line.split(" ")[1], `last list that pod ${name} saw`).to.equal(list);
  return Number(line.split(" ")[0]);
}

describe("a real node", function () {
  this.timeout(180_000);
  const { node, pair } = world;

  it("gives a claim's pod its CPUs alone, and keeps pods of before and after off them before it exists", async () => {
    await world.createPod({ name: "before", containers: [{ command: SAMPLER }] });
    await world.running("before");
    expect(await world.node.kubectl("logs", "before")).to.match(/^\S+ 0-1\n$/);
    await world.createPod({
      name: "claimed",
      template: "one",
      containers: [{ claims: [{ name: "cpus" }], limits: { cpu: "500m" } }],
    });
    await world.running("claimed");
    expect(await world.seen("claimed")).to.deep.equal(CLAIMED);
    // The process of the claim's container begins to exist some time before its first instruction.
    const born = bornAt(await world.exec("claimed", "c0", "cat", "/proc/1/stat"));
    const off = await changedTo("before", "0");
    console.log(`      the pod of before was off ${Math.round((born - off) * 1000)} ms before the container existed`);
    expect(off).to.be.below(born);
    expect(await world.seen("before")).to.deep.include({ exec: "0", cgroup: "0" });
    await world.createPod({ name: "after" });
    await world.running("after");
    expect(await world.seen("after")).to.deep.equal(SHARED);
    const quota = world.cgroupFile(await world.place("claimed"), "cpu", "cpu.cfs_quota_us");
    expect(quota, "CFS quota of the claim's container").to.equal("-1");
    const environment = await world.environment("claimed");
    expect(environment).to.include(`DRA_CPUSET_${await world.claimUid()}=1`);
    expect(environment).to.include("DRA_CPUS=1");
    expect(await world.exec("claimed", "c0", "cat", "/proc/self/mountinfo")).not.to.include("/run/dra-driver-cpu");
  });

  it("finds its device's attributes and its CPUs in a file, under its own name for the claim", async () => {
    const base = "/var/run/kubernetes.io/dra-device-attributes";
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    const read = (path: string): Promise<string> =>
      world.exec("claimed", "c0", "cat", `${base}/${path}/dra.cpu-metadata.json`);
    const text = await read("resourceclaimtemplates/cpus/cpus");
    expect(text).to.include('"apiVersion": "metadata.resource.k8s.io/v1alpha1"');
    const newest = JSON.parse(text.slice(0, text.indexOf("\n{"))) as {
      requests: { name: string; devices: { name: string; attributes: Record<string, unknown> }[] }[];
    };
    const [device] = newest.requests[0]?.devices ?? [];
    expect(device?.name).to.equal("cpudevnuma000");
    expect(device?.attributes).to.deep.include({
      "dra.cpu/allocatedCPUs": { string: "1" },
      "dra.cpu/numaNodeID": { int: 0 },
    });
    await node.apply(claim("named", "1"));
    await world.node.kubectl("delete", "pod", "claimed", "--wait=true");
    await world.createPod({ name: "claimed", claimName: "named" });
    await world.running("claimed");
    expect(await read("resourceclaims/named/cpus")).to.include('"string": "1"');
    await node.kubectl("delete", "pod", "claimed", "--wait=true");
    await node.kubectl("delete", "resourceclaim", "named");
  });

  // The clock starts when the pod's last process is gone, which is before the kubelet has told anybody so, before the claim is
  // unprepared, and before the API server has deleted the pod; it stops at what the running pod itself saw, and at the cgroup file.
  it("returns the CPUs of a deleted pod to running pods within 3 s, without another pod", async () => {
    await world.createPod({ name: "stays", containers: [{ command: SAMPLER }] });
    const back = await bestOf(3, async () => {
      await world.createPod({ name: "claimed", template: "one" });
      await world.running("claimed");
      await world.running("stays");
      expect(await world.seen("stays")).to.deep.include({ exec: "0", cgroup: "0" });
      const stays = await world.place("stays");
      const { pid } = await world.place("claimed");
      const deleted = node.kubectl("delete", "pod", "claimed", "--wait=true").then(() => uptime());
      await until("the claim's process is gone", () => !isThere(pid), 20_000, 5);
      const gone = uptime();
      await until("the CPU is back", () => world.cgroupFile(stays, "cpuset", "cpuset.cpus") === "0-1", 20_000, 10);
      const file = uptime();
      await until("the pod sees it", async () => (await node.kubectl("logs", "stays")).trimEnd().endsWith("0-1"), 5000);
      const seen = await changedTo("stays", "0-1");
      console.log(
        `      after the process's end: cgroup ${(file - gone).toFixed(2)} s, pod itself ${(seen - gone).toFixed(2)} s, API object deleted ${((await deleted) - gone).toFixed(2)} s`,
      );
      return Math.max(file, seen) - gone;
    });
    expect(back).to.be.below(3);
    expect(await world.seen("stays")).to.deep.include({ exec: "0-1", cgroup: "0-1" });
  });

  it("restarts a container whose process died on the same CPUs", async () => {
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    const first = await world.place("claimed");
    await world.killFirstProcess("claimed");
    await restarted("claimed");
    expect(await world.seen("claimed")).to.deep.equal(CLAIMED);
    expect((await world.place("claimed")).id).not.to.equal(first.id);
  });

  it("leaves what cannot be had to the scheduler, and takes half a CPU for a whole one", async () => {
    await world.createPod({ name: "greedy", template: "many" });
    await world.event("greedy", "cannot allocate all claims");
    await world.createPod({ name: "half", template: "half" });
    await world.running("half");
    expect(await world.seen("half")).to.deep.equal(CLAIMED);
    await world.createPod({ name: "second", template: "one" });
    await world.event("second", "cannot allocate all claims");
    for (const name of ["greedy", "second"]) expect((await world.status(name)).status.phase).to.equal("Pending");
  });

  it("lets all containers of a pod share its claim, beside one that does not", async () => {
    await world.createPod({
      name: "sharing",
      template: "one",
      containers: [{ claims: [{ name: "cpus" }] }, { claims: [{ name: "cpus", request: "cpus" }] }, {}],
    });
    await world.running("sharing");
    expect(await world.seen("sharing", "c0")).to.deep.equal(CLAIMED);
    expect(await world.seen("sharing", "c1")).to.deep.equal(CLAIMED);
    expect(await world.seen("sharing", "c2")).to.deep.equal(SHARED);
  });

  it("refuses a second pod on a claim in words, and admits it when the first is gone", async () => {
    await node.apply(claim("named", "1"));
    await world.createPod({ name: "first", claimName: "named" });
    await world.running("first");
    await world.createPod({ name: "second", claimName: "named" });
    await world.nothingRuns("second", () => world.event("second", "exclusive CPUs cannot be shared between pods"));
    await world.remove("first");
    await world.running("second", 60_000);
    expect(await world.seen("second")).to.deep.equal(CLAIMED);
    await world.remove("second");
    await node.kubectl("delete", "resourceclaim", "named");
  });

  it("publishes a device of capacity 2 with the policy that fits, and gives each container its request's share", async () => {
    await pair.driver?.stop();
    pair.startDriver("--keep-shared", "0");
    await pair.ready();
    const capacity = async (): Promise<unknown> => {
      const { items } = await node.json<{ items: { spec: { devices: { capacity: unknown }[] } }[] }>(
        "get",
        "resourceslices",
      );
      return items[0]?.spec.devices[0]?.capacity;
    };
    expect(await capacity()).to.deep.equal({
      "dra.cpu/cpu": { value: "2", requestPolicy: { default: "1", validRange: { min: "1", step: "1" } } },
    });
    await world.createPod({
      name: "split",
      template: "pair",
      containers: [
        { claims: [{ name: "cpus", request: "r0" }] },
        { claims: [{ name: "cpus", request: "r1" }] },
        { claims: [{ name: "cpus" }] },
      ],
    });
    await world.running("split");
    const [r0, r1, both] = await Promise.all(["c0", "c1", "c2"].map((name) => world.seen("split", name)));
    const one = (cpus: string): object => ({ exec: cpus, first: cpus, cgroup: cpus });
    expect([r0, r1]).to.have.deep.members([one("0"), one("1")]);
    expect(both).to.deep.equal(one("0-1"));
    await world.removeAll();
    await pair.driver?.stop();
    pair.startDriver();
    await pair.ready();
    expect(await capacity()).to.deep.equal({
      "dra.cpu/cpu": { value: "1", requestPolicy: { default: "1", validValues: ["1"] } },
    });
  });

  it("publishes again when the slices are deleted, and writes a CDI file again that vanished", async () => {
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    const began = Date.now();
    await node.kubectl("delete", "resourceslices", "--all");
    await until("the slice is back", async () => (await node.kubectl("get", "resourceslices", "-o", "name")) !== "");
    console.log(`      back after ${Date.now() - began} ms`);
    const file = join(node.cdiDir, `dra.k8s.io-cpu_claim-${await world.claimUid()}.json`);
    rmSync(file);
    await until("the CDI file is back", () => existsSync(file), 10_000);
    await world.killFirstProcess("claimed");
    await restarted("claimed");
    expect(await world.seen("claimed")).to.deep.equal(CLAIMED);
  });

  async function restarted(name: string): Promise<void> {
    await until(
      "it is restarted",
      async () => (await world.status(name)).status.containerStatuses?.[0]?.restartCount === 1,
    );
    await world.running(name);
  }
});
