import { expect } from "chai";
import { world } from "./suite.ts";
import { until } from "./world.ts";

const limits = (cpu: string): Readonly<Record<string, string>> => ({ cpu, memory: "50Mi" });

// In the words of the kubelet, which moves quota and shares of running containers, and gives the runtime no cpuset with them.
describe("pods that are resized in place", function () {
  this.timeout(120_000);
  const { node } = world;

  const resize = (name: string, cpu: string): Promise<string> => {
    const containers = [{ name: "c0", resources: { requests: limits(cpu), limits: limits(cpu) } }];
    return node.kubectl("patch", "pod", name, "--subresource=resize", "-p", JSON.stringify({ spec: { containers } }));
  };
  const resized = (name: string, cpu: string): Promise<unknown> =>
    until(
      `the kubelet has given pod ${name} ${cpu}`,
      async () =>
        (await node.kubectl(
          ...["get", "pod", name, "-o", "jsonpath={.status.containerStatuses[0].allocatedResources.cpu}"],
        )) === cpu,
      60_000,
      200,
    );
  /** What the kubelet says of it; a container without a quota has no limit in its status. */
  const events = async (name: string): Promise<string> =>
    node.kubectl(
      "get",
      "events",
      "--field-selector",
      `involvedObject.name=${name}`,
      "-o",
      "jsonpath={.items[*].reason}",
    );
  const quota = async (name: string): Promise<string> =>
    world.cgroupFile(await world.place(name), "cpu", "cpu.cfs_quota_us");

  before(async () => {
    await world.createPod({ name: "resized", containers: [{ limits: limits("100m") }] });
    const claims = [{ name: "cpus" }];
    await world.createPod({ name: "claimed", template: "one", containers: [{ claims, limits: limits("100m") }] });
    await world.running("resized");
    await world.running("claimed");
  });
  after(async () => {
    await world.remove("claimed");
    await world.remove("resized");
  });
  const areAsTheyWere = async (): Promise<void> => {
    expect((await world.seen("resized")).exec, "without a claim").to.equal("0");
    expect(await world.seen("claimed"), "with a claim").to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
    expect(await quota("claimed"), "of the claim's container").to.equal("-1");
  };

  it("have another quota, and stay in the shared pool", async () => {
    expect(await quota("resized")).to.equal("10000");
    await areAsTheyWere();
    await resize("resized", "150m");
    await resized("resized", "150m");
    await until("its quota follows", async () => (await quota("resized")) === "15000", 20_000, 200);
    await areAsTheyWere();
  });

  it("keep their claim's CPUs without a quota, or are refused by a Kubernetes before 1.37", async () => {
    const { serverVersion } = await node.json<{ serverVersion: { minor: string } }>("version");
    const answer = await resize("claimed", "200m").then(
      () => "resized",
      (cause: unknown) => (cause as Error).message,
    );
    if (Number.parseInt(serverVersion.minor, 10) < 37)
      expect(answer).to.include("only cpu and memory resources are mutable");
    else {
      expect(answer).to.equal("resized");
      await resized("claimed", "200m");
      await until("the kubelet is content", async () => (await events("claimed")).includes("ResizeCompleted"), 20_000);
    }
    await areAsTheyWere();
  });
});
