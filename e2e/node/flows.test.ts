import { rmSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { claim, until, World } from "./world.ts";

// One node of 2 CPUs, cgroup v1: CPU 0 is kept for the shared pool, CPU 1 is the claims'.
describe("a real node", function () {
  this.timeout(180_000);
  const world = new World();
  const { node, pair } = world;
  before(() => world.start());
  after(() => world.stop());
  afterEach(async function () {
    if (this.currentTest?.state === "failed") await dump(world);
    await world.removeAll();
  });

  it("gives a claim's pod its CPUs alone, before its first instruction, and keeps pods of before and after off them", async () => {
    await world.createPod({ name: "before" });
    await world.running("before");
    expect((await world.seen("before")).first).to.equal("0-1");
    await world.createPod({
      name: "claimed",
      template: "one",
      containers: [{ claims: [{ name: "cpus" }], limits: { cpu: "500m" } }],
    });
    await world.running("claimed");
    expect(await world.seen("claimed")).to.deep.equal({ exec: "1", first: "1" });
    expect((await world.seen("before")).exec).to.equal("0");
    await world.createPod({ name: "after" });
    await world.running("after");
    expect(await world.seen("after")).to.deep.equal({ exec: "0", first: "0" });
    expect(await world.cgroupFile("claimed", "cpuset", "cpuset.cpus")).to.equal("1");
    expect(await world.cgroupFile("before", "cpuset", "cpuset.cpus")).to.equal("0");
    expect(await world.cgroupFile("claimed", "cpu", "cpu.cfs_quota_us"), "CFS quota of the claim's container").to.equal(
      "-1",
    );
    const environment = await world.environment("claimed");
    const { items } = await node.json<{ items: { metadata: { uid: string } }[] }>("get", "resourceclaims");
    expect(environment).to.include(`DRA_CPUSET_${items[0]?.metadata.uid ?? ""}=1`);
    expect(environment).to.include("DRA_CPUS=1");
    const mounts = await node.kubectl("exec", "claimed", "--", "cat", "/proc/self/mountinfo");
    expect(mounts).not.to.include("/run/dra-driver-cpu");
  });

  it("returns the CPUs of a deleted pod to running pods within 3 s, without another pod", async () => {
    await world.createPod({ name: "stays" });
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    await world.running("stays");
    expect((await world.seen("stays")).exec).to.equal("0");
    await world.remove("claimed");
    const began = Date.now();
    await until(
      "the CPU is back",
      async () => (await world.cgroupFile("stays", "cpuset", "cpuset.cpus")) === "0-1",
      3000,
      20,
    );
    console.log(`      back after ${Date.now() - began} ms`);
  });

  it("restarts a container whose process died on the same CPUs", async () => {
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    process.kill(await world.firstPid("claimed"), "SIGKILL");
    await until(
      "it is restarted",
      async () =>
        (await node.kubectl("get", "pod", "claimed", "-o", "jsonpath={.status.containerStatuses[0].restartCount}")) ===
        "1",
    );
    await world.running("claimed");
    expect(await world.seen("claimed")).to.deep.equal({ exec: "1", first: "1" });
  });

  for (const [name, value, why] of [
    ["DRA_CPUSET_11111111-2222-3333-4444-555555555555", "0-1", "no CDI device of that claim"],
    ["DRA_CPUSET_x", "1-", "neither a number nor a range"],
  ] as const) {
    it(`refuses a pod that brings ${name}=${value}, and says so in its Event`, async () => {
      await world.createPod({ name: "forger", containers: [{ env: [{ name, value }] }] });
      const text = await world.event("forger", name);
      expect(text).to.include("default/forger").and.include(why);
      expect(
        await node.kubectl("get", "pod", "forger", "-o", "jsonpath={.status.containerStatuses[0].started}"),
      ).to.equal("false");
    });
  }

  it("confines and reports a forged variable that it finds running", async () => {
    await pair.agent?.stop();
    await world.createPod({
      name: "forger",
      containers: [{ env: [{ name: "DRA_CPUSET_11111111-2222-3333-4444-555555555555", value: "1" }] }],
    });
    await world.running("forger");
    pair.startAgent();
    await pair.ready();
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    expect((await world.seen("forger")).exec).to.equal("0");
    expect((await world.seen("claimed")).exec).to.equal("1");
    const { containers } = await pair.state<{ containers: { ref: { podName: string }; problem?: string }[] }>();
    expect(containers.find((one) => one.ref.podName === "forger")?.problem).to.include("Confined to the shared pool");
  });

  it("leaves what cannot be had to the scheduler, and takes half a CPU for a whole one", async () => {
    await world.createPod({ name: "greedy", template: "many" });
    await world.event("greedy", "cannot allocate all claims");
    await world.createPod({ name: "half", template: "half" });
    await world.running("half");
    expect((await world.seen("half")).exec).to.equal("1");
    await world.createPod({ name: "second", template: "one" });
    await world.event("second", "cannot allocate all claims");
  });

  it("lets all containers of a pod share its claim, beside one that does not", async () => {
    await world.createPod({
      name: "sharing",
      template: "one",
      containers: [{ claims: [{ name: "cpus" }] }, { claims: [{ name: "cpus", request: "cpus" }] }, {}],
    });
    await world.running("sharing");
    expect((await world.seen("sharing", "c0")).first).to.equal("1");
    expect((await world.seen("sharing", "c1")).first).to.equal("1");
    expect((await world.seen("sharing", "c2")).first).to.equal("0");
  });

  it("refuses a second pod on a claim in words, and admits it when the first is gone", async () => {
    await node.apply(claim("named", "1"));
    await world.createPod({ name: "first", claimName: "named" });
    await world.running("first");
    await world.createPod({ name: "second", claimName: "named" });
    await world.event("second", "exclusive CPUs cannot be shared between pods");
    await world.remove("first");
    await world.running("second", 60_000);
    expect((await world.seen("second")).first).to.equal("1");
    await world.remove("second");
    await node.kubectl("delete", "resourceclaim", "named");
  });

  it("gives the CPUs of a force-deleted pod to nobody while a container of it lives", async () => {
    await world.createPod({ name: "zombie", template: "one" });
    await world.running("zombie");
    const { metadata } = await node.json<{ metadata: { uid: string } }>("get", "pod", "zombie");
    const freezer = `/sys/fs/cgroup/freezer/kubepods/besteffort/pod${metadata.uid}`;
    await freeze(freezer, "FROZEN");
    try {
      await node.kubectl("delete", "pod", "zombie", "--force", "--grace-period=0", "--wait=false");
      await world.createPod({ name: "heir", template: "one" });
      await world.createPod({ name: "other" });
      await world.running("other");
      await new Promise((resolve) => setTimeout(resolve, 6000));
      expect((await world.seen("other")).exec).to.equal("0");
      expect(await node.kubectl("get", "pod", "heir", "-o", "jsonpath={.status.phase}")).to.equal("Pending");
    } finally {
      await freeze(freezer, "THAWED");
    }
    await world.running("heir", 60_000);
    expect((await world.seen("heir")).first).to.equal("1");
  });

  it("publishes a device of capacity 2 with the policy that fits", async () => {
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
    const { items } = await node.json<{ items: { metadata: { uid: string } }[] }>("get", "resourceclaims");
    const file = join(node.cdiDir, `dra.k8s.io-cpu_claim-${items[0]?.metadata.uid ?? ""}.json`);
    rmSync(file);
    await until("the CDI file is back", async () => (await import("node:fs")).existsSync(file), 10_000);
    process.kill(await world.firstPid("claimed"), "SIGKILL");
    await until(
      "it is restarted",
      async () =>
        (await node.kubectl("get", "pod", "claimed", "-o", "jsonpath={.status.containerStatuses[0].restartCount}")) ===
        "1",
    );
    await world.running("claimed");
    expect((await world.seen("claimed")).first).to.equal("1");
  });
});

async function freeze(cgroup: string, state: "FROZEN" | "THAWED"): Promise<void> {
  const { readdirSync, readFileSync, writeFileSync, existsSync } = await import("node:fs");
  if (!existsSync(cgroup)) return;
  for (const name of readdirSync(cgroup, { withFileTypes: true })) {
    if (name.isDirectory()) writeFileSync(join(cgroup, name.name, "freezer.state"), state);
  }
  writeFileSync(join(cgroup, "freezer.state"), state);
  await until(`${cgroup} is ${state}`, () => readFileSync(join(cgroup, "freezer.state"), "utf8").trim() === state);
}

async function dump(world: World): Promise<void> {
  const { execFileSync } = await import("node:child_process");
  for (const daemon of [world.pair.agent, world.pair.driver]) {
    if (daemon !== undefined) console.log(execFileSync("tail", ["-n", "25", daemon.log], { encoding: "utf8" }));
  }
  console.log(await world.node.kubectl("get", "pods,resourceclaims", "-o", "wide"));
  console.log(await world.node.kubectl("get", "events"));
}
