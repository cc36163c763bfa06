import { expect } from "chai";
import { world } from "./suite.ts";
import { until } from "./world.ts";

/** Of a container's status (KEP-4680). */
interface Health {
  readonly resources?: readonly { readonly health: string; readonly message?: string }[];
}

describe("a real node, about the health of its devices", function () {
  this.timeout(120_000);
  const { node, pair } = world;
  const health = async (): Promise<string> => {
    const text = await node.kubectl(
      "get",
      "pod",
      "sick",
      "-o",
      "jsonpath={.status.containerStatuses[0].allocatedResourcesStatus}",
    );
    const found = text === "" ? [] : (JSON.parse(text) as readonly Health[]);
    return found.flatMap((one) => one.resources ?? []).map((one) => `${one.health} ${one.message ?? ""}`)[0] ?? "";
  };

  it("shows it in the pod's status: good, bad with the reason while the agent is away, and good again", async () => {
    await world.createPod({ name: "sick", template: "one" });
    await world.running("sick");
    await until("it is healthy", async () => (await health()).startsWith("Healthy"), 30_000);
    pair.agent?.signal("SIGKILL");
    await pair.agent?.exited;
    await until("it is not", async () => (await health()).startsWith("Unhealthy"), 30_000);
    console.log(`      ${await health()}`);
    expect(await world.seen("sick"), "it runs where it ran").to.deep.include({ cgroup: "1" });
    pair.startAgent();
    await until("it is healthy again", async () => (await health()).startsWith("Healthy"), 30_000);
  });
});
