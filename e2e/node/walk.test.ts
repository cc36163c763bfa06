import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { CreateContainerResponseSchema } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { expect } from "chai";
import { OtherPlugin } from "../kit/nri/plugin.ts";
import { allowedOf } from "./kernel.ts";
import type { Checks } from "./sightings.ts";
import { world } from "./suite.ts";
import { Walk } from "./walking.ts";
import { until } from "./world.ts";

// What an operator sees of a problem, wherever he looks, and after how long; `--full` puts the table into docs/problems.md.
describe("a real node with a problem says so everywhere:", function () {
  this.timeout(240_000);
  const { node, pair } = world;
  const walk = new Walk(world);
  const killed = async (name: string): Promise<void> => {
    node.daemon(name).signal("SIGKILL");
    await node.daemon(name).exited;
  };
  const driverAnew = async (...flags: string[]): Promise<void> => {
    pair.driver?.signal("SIGTERM");
    await pair.driver?.exited;
    pair.startDriver(...flags);
  };
  const kubeletWith = async (more: object): Promise<void> => {
    await killed("kubelet");
    rmSync(join(node.kubeletRootDir, "cpu_manager_state"), { force: true });
    node.startKubelet("10s", more);
  };
  const devices = async (): Promise<number> => {
    const { items } = await node.json<{ items: { spec: { devices?: object[] } }[] }>("get", "resourceslices");
    return items.reduce((sum, one) => sum + (one.spec.devices ?? []).length, 0);
  };
  const taints = async (): Promise<readonly string[]> => {
    const { items } = await node.json<{ items: { spec: { devices?: { taints?: { value: string }[] }[] } }[] }>(
      ...["get", "resourceslices"],
    );
    return items.flatMap(({ spec }) => (spec.devices ?? []).flatMap((one) => one.taints ?? [])).map((one) => one.value);
  };
  const readyz = (port: number): Promise<string> => {
    const code = `fetch("http://127.0.0.1:${port}/readyz").then(async (r) => process.stdout.write(r.status + " " + (await r.text())))`;
    return node.run(process.execPath, ["-e", code]);
  };
  const isSeen = (checks: Checks): void => {
    expect(checks.missing, "who said nothing").to.deep.equal([]);
  };

  after(() => walk.print());

  it("the agent is stopped", async () => {
    await walk.fine();
    pair.agent?.signal("SIGKILL");
    await pair.agent?.exited;
    isSeen(await walk.sees("agent killed", "DRACPU-106"));
    // A little longer, and the scheduler takes another node; here there is none.
    await until("the node's devices have a taint", async () => (await taints()).includes("DRACPU-106"), 60_000);
    await world.createPod({ name: "claimed", template: "one" });
    await until(
      "the scheduler says why",
      async () => (await node.kubectl("get", "events")).includes("cannot allocate all claims"),
      20_000,
    );
    pair.startAgent();
    await world.running("claimed", 60_000);
    expect(await taints()).to.deep.equal([]);
    await walk.fine();
  });

  it("the runtime is down", async () => {
    await killed("containerd");
    isSeen(await walk.sees("runtime killed", "DRACPU-101"));
    node.startContainerd();
    await node.containerdReady();
    await walk.fine();
  });

  it("a mask is changed behind our back", async () => {
    await world.createPod({ name: "shared" });
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("shared");
    await world.running("claimed");
    const place = await world.place("shared");
    writeFileSync(join("/sys/fs/cgroup/cpuset", place.cgroup, "cpuset.cpus"), "0-1");
    const checks = await walk.saw("mask changed from outside", "DRACPU-311", "dra_cpu_agent_escapes_total");
    isSeen(checks);
    expect(world.cgroupFile(place, "cpuset", "cpuset.cpus"), "it is put back").to.equal("0");
  });

  it("a process of the host works on a claim's CPU", async () => {
    pair.agent?.signal("SIGTERM");
    await pair.agent?.exited;
    // More than this machine's other work takes of a CPU; `doctor` names what may run there in any case.
    pair.startAgent("--foreign-load", "60");
    await pair.ready();
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    const { exec } = await world.seen("claimed");
    // This suite and all that it starts from here on stay off that CPU: looking is work too.
    const stay = (cpus: string): Buffer => execFileSync("taskset", ["-acp", cpus, String(process.pid)]);
    const own = CpuSet.parse(allowedOf(process.pid));
    stay(own.minus(CpuSet.parse(exec)).toString());
    const stranger = node.host("stranger", ["taskset", "-c", exec, process.execPath, "-e", "for (;;);"]);
    const home = "/sys/fs/cgroup/cpuacct/host-service";
    try {
      mkdirSync(home);
      writeFileSync(join(home, "cgroup.procs"), `${stranger.pid}`);
      isSeen(await walk.sees("host process on a claim's CPU", "DRACPU-509", "/host-service ("));
    } finally {
      await stranger.stop();
      stay(own.toString());
      rmdirSync(home);
    }
    await world.remove("claimed");
    pair.agent?.signal("SIGTERM");
    await pair.agent?.exited;
    pair.startAgent();
    await walk.fine();
  });

  it("the kubelet's CPU manager is static: the node offers nothing, what runs stays, and nobody's rollout waits", async () => {
    await world.createPod({ name: "before", template: "one" });
    await world.running("before");
    const seen = await world.seen("before");
    await kubeletWith({ cpuManagerPolicy: "static", reservedSystemCPUs: "0" });
    isSeen(await walk.sees("static CPU manager", "DRACPU-502"));
    await until("no device is offered", async () => (await devices()) === 0, 20_000);
    expect(await readyz(8080)).to.match(/^200 unsuitable: .*policy static.*\[DRACPU-502\]/);
    expect(await world.seen("before"), "what ran runs where it ran").to.deep.equal(seen);
    await kubeletWith({});
    await walk.fine();
    expect(await devices()).to.be.above(0);
  });

  it("a CDI file belongs to nobody", async () => {
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    const [own = ""] = readdirSync(node.cdiDir).filter((name) => name.endsWith(".json"));
    const stale = join(node.cdiDir, own.replace(/[0-9a-f]{8}(?=-)/, "00000000"));
    writeFileSync(stale, readFileSync(join(node.cdiDir, own)));
    isSeen(await walk.sees("stale CDI file", "DRACPU-604"));
    rmSync(stale);
    await walk.fine();
  });

  it("the directory in which the kubelet looks for drivers is made anew", async () => {
    const registry = join(node.kubeletRootDir, "plugins_registry");
    rmSync(registry, { recursive: true });
    mkdirSync(registry);
    isSeen(await walk.sees("registration directory made anew", "DRACPU-401", "restart the kubelet"));
    await kubeletWith({});
    await walk.fine();
  });

  it("the disk of the driver's state is full", async () => {
    const state = join(node.dir, "state", "driver");
    pair.driver?.signal("SIGTERM");
    await pair.driver?.exited;
    await node.run("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", state]);
    try {
      pair.startDriver();
      await pair.ready();
      await node.run("sh", ["-c", `cat /dev/zero > ${state}/fill || true`]);
      await world.createPod({ name: "claimed", template: "one" });
      isSeen(await walk.sees("disk full", "DRACPU-602"));
      await node.run("rm", [join(state, "fill")]);
      await world.running("claimed", 120_000);
      await walk.fine();
      await world.removeAll();
      pair.driver?.signal("SIGTERM");
      await pair.driver?.exited;
    } finally {
      await node.run("umount", [state]);
    }
    pair.startDriver();
    await walk.fine();
  });

  it("another plugin sets cpusets", async () => {
    // Asked before the agent is.
    const other = new OtherPlugin(node.nriSocket, "01", () =>
      create(CreateContainerResponseSchema, { adjust: { linux: { resources: { cpu: { cpus: "0" } } } } }),
    );
    try {
      await other.connect();
      await world.createPod({ name: "shared" });
      isSeen(await walk.sees("another NRI plugin sets cpusets", "DRACPU-317"));
      expect(await node.kubectl("get", "events"), "the runtime's own word").to.include("someone-else");
    } finally {
      other.close();
    }
    await world.running("shared", 120_000);
    await walk.fine();
  });

  it("a feature gate is off", async () => {
    const off = ["--feature-gates=DRAConsumableCapacity=false"];
    await killed("kube-apiserver");
    node.startApiServer(...off);
    await node.apiReady();
    await node.kubectl("delete", "resourceslices", "--all");
    await driverAnew();
    isSeen(await walk.sees("feature gate off", "DRACPU-403"));
    await killed("kube-apiserver");
    node.startApiServer();
    await node.apiReady();
    await node.kubectl("delete", "resourceslices", "--all");
    await driverAnew();
    await walk.fine();
  });

  it("driver and kubelet reserve other CPUs", async () => {
    await driverAnew("--reserved-cpus", "0");
    isSeen(await walk.sees("reserved CPUs differ", "DRACPU-503"));
    await driverAnew();
    await walk.fine();
  });

  it("the runtime has no NRI: likewise, until it has", async () => {
    await killed("containerd");
    pair.agent?.signal("SIGKILL");
    await pair.agent?.exited;
    rmSync(node.nriSocket, { force: true });
    node.startContainerd(true);
    await node.containerdReady();
    pair.startAgent();
    isSeen(await walk.sees("NRI off", "DRACPU-504"));
    await until("no device is offered", async () => (await devices()) === 0, 20_000);
    for (const port of [8080, 8081])
      expect(await readyz(port)).to.match(/^200 unsuitable: .*NRI is disabled.*\[DRACPU-504\]/);
    await killed("containerd");
    node.startContainerd();
    await node.containerdReady();
    await walk.fine();
    await until("devices are offered again", async () => (await devices()) > 0, 20_000);
  });
});
