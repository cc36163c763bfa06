import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { binary } from "../build/build.ts";
import { NAMESPACE } from "../kit/node/helm.ts";
import { Sightings, type Checks } from "../node/sightings.ts";
import { template } from "./objects.ts";
import { world } from "./suite.ts";
import { SLOW, until } from "./world.ts";

// What the walk over the native node cannot bring about, since its CPUs are other people's; `--full` puts the table into docs/problems.md.
describe("a node of 16 CPUs with a problem says so everywhere:", function () {
  this.timeout(3 * SLOW);
  this.bail(true);
  const sightings = new Sightings("On an emulated node of 16 CPUs", SLOW, 2000);

  before(async () => {
    await world.large();
    await world.settings("groupBy=machine");
    await world.devicesBecome("large", (all) => all.map((one) => one.name).join() === "cpudevmachine");
  });
  after(() => sightings.print());

  const driver = async (): Promise<{ name: string; ip: string; container: string }> => {
    const { items } = await world.cluster.json<{
      items: {
        metadata: { name: string };
        status: { podIP: string; containerStatuses: { name: string; containerID: string }[] };
      }[];
    }>("get", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=node");
    const [{ metadata, status } = { metadata: { name: "" }, status: { podIP: "", containerStatuses: [] } }] = items;
    const container = status.containerStatuses.find((one) => one.name === "driver")?.containerID ?? "";
    return { name: metadata.name, ip: status.podIP, container: container.replace("containerd://", "") };
  };
  /** A page of the driver or, on 8081, of the agent; the picture is served on the pod's loopback interface alone. */
  const page = async (port: number, path: string): Promise<string> => {
    const { ip, container } = await driver();
    const inPod = `pid=$(grep -l ${container} /proc/[0-9]*/cgroup | head -n 1 | cut -d/ -f3); nsenter -t $pid -n`;
    return world
      .guest("large")
      .shell.run(
        port === 8082
          ? `${inPod} wget -q -O - http://127.0.0.1:8082/${path}`
          : `wget -q -O - http://${ip}:${port}/${path}`,
      );
  };
  const both = async (path: string): Promise<string> =>
    (await Promise.all([8080, 8081].map((port) => page(port, path).catch(() => "")))).join("\n");
  /** Its exit status says that something is wrong, and its words are on standard output all the same. */
  const doctor = async (): Promise<string> => {
    const kubectl = `${binary("kube", "kubectl")} --kubeconfig ${world.cluster.kubeconfig}`;
    const { name } = await driver();
    return world.cluster.run("sh", [
      "-c",
      `${kubectl} exec -n ${NAMESPACE} ${name} -c driver -- dracpu doctor || true`,
    ]);
  };
  const events = (): Promise<string> =>
    world.cluster.kubectl("get", "events", "-A", "-o", "jsonpath={.items[*].message}");
  const sees = (problem: string, code: string): Promise<Checks> =>
    sightings.note(problem, code, {
      doctor: async () => (await doctor()).includes(code),
      Event: async () => (await events()).includes(code),
      metric: async () => new RegExp(`findings\\{.*${code}.*\\} [1-9]`).test(await both("metrics")),
      page: async () => (await page(8082, "picture")).includes(code),
      probe: async () => (await both("readyz")).includes(code),
    });
  /** Both are ready, and nobody says it any more. */
  const fine = (code: string): Promise<unknown> =>
    until(
      `nobody says ${code}`,
      async () => {
        const [driverSays, agentSays] = await Promise.all([8080, 8081].map((port) => page(port, "readyz")));
        return [driverSays, agentSays].every((text) => text?.startsWith("ok\n") === true && !text.includes(code));
      },
      SLOW,
      2000,
    );

  it("a CPU of a claim goes offline: the claim keeps its CPUs, and runs on the rest until it is back", async () => {
    await world.cluster.apply(template("of-four", { cpus: 4 }));
    await world.createPods(["claimed"], "of-four");
    const cpus = CpuSet.parse((await world.firsts(["claimed"])).get("claimed") ?? "");
    const gone = cpus.toArray().at(-1) ?? 0;
    const { shell } = world.guest("large");
    await shell.run(`echo 0 >/sys/devices/system/cpu/cpu${gone}/online`);
    expect((await sees("CPU of a claim offline", "DRACPU-211")).missing).to.deep.equal([]);
    const left = CpuSet.range(1, 15).minus(CpuSet.of(gone)).toString();
    await world.devicesBecome("large", ([one]) => one?.attributes["dra.cpu/cpus"]?.string === left);
    expect(await world.inside("claimed")).to.equal(cpus.minus(CpuSet.of(gone)).toString());
    expect(await world.inside("shared")).to.equal(CpuSet.range(0, 15).minus(cpus).toString());
    await shell.run(`echo 1 >/sys/devices/system/cpu/cpu${gone}/online`);
    await fine("DRACPU-211");
    await world.settled("large");
    expect(await world.inside("claimed")).to.equal(cpus.toString());
  });

  it("the kubelet's CPU manager is static: the node offers nothing, and what runs stays where it is", async () => {
    const before = await world.inside("claimed");
    await world.guest("large").restartKubelet({ cpuManagerPolicy: "static", reservedSystemCPUs: "0" });
    expect((await sees("static CPU manager", "DRACPU-502")).missing).to.deep.equal([]);
    await world.devicesBecome("large", (all) => all.length === 0);
    await world.createPods(["refused"], "of-four");
    expect(await world.whyPending("refused")).to.include("cannot allocate all claims");
    expect(await world.inside("claimed")).to.equal(before);
    await world.guest("large").restartKubelet({});
    await fine("DRACPU-502");
    // As soon as there are devices again.
    expect(CpuSet.parse((await world.firsts(["refused"])).get("refused") ?? "").size).to.equal(4);
    await world.remove("claimed", "refused");
    await world.empty(CpuSet.range(0, 15));
  });
});
