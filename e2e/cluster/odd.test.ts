import { expect } from "chai";
import { world } from "./suite.ts";
import { until } from "./world.ts";

interface Claim {
  readonly status: {
    readonly allocation: { readonly devices: { readonly results: readonly { adminAccess?: boolean }[] } };
  };
}

describe("claims out of the ordinary, with the installed chart", function () {
  this.timeout(90_000);
  const { node } = world;
  const held = async (): Promise<number> =>
    (await world.state<{ allocations?: readonly object[] }>()).allocations?.length ?? 0;

  before(() => world.removeAll());
  afterEach(() => world.removeAll());
  after(async () => {
    await node.kubectl("delete", "resourceclaim", "looks", "--ignore-not-found");
    await node.kubectl("label", "namespace", "default", "resource.kubernetes.io/admin-access-");
  });

  it("a container that names a request which its claim lacks runs on the shared CPUs, and its pod is told", async () => {
    const containers = [
      { name: "right", claims: [{ name: "cpus", request: "cpus" }] },
      { name: "wrong", claims: [{ name: "cpus", request: "cpu" }] },
    ];
    await world.createPod({ name: "misnamed", template: "one", containers });
    expect(await world.event("misnamed", "[DRACPU-210]")).to.match(/wrong.*\bcpu\b/);
    await world.running("misnamed");
    expect((await world.seen("misnamed", "right")).exec).to.equal("1");
    expect((await world.seen("misnamed", "wrong")).exec).to.equal("0");
    expect(await world.environment("misnamed", "wrong")).not.to.include("DRA_CPUS=1");
  });

  it("admin access gives no CPU, and takes none from who claims it", async () => {
    await node.kubectl("label", "namespace", "default", "resource.kubernetes.io/admin-access=true");
    const exactly = { deviceClassName: "dra.cpu", adminAccess: true };
    await node.apply({
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceClaim",
      metadata: { name: "looks" },
      spec: { devices: { requests: [{ name: "cpus", exactly }] } },
    });
    await world.createPod({ name: "looking", claimName: "looks" });
    await world.running("looking");
    const { status } = await node.json<Claim>("get", "resourceclaim", "looks");
    expect(status.allocation.devices.results.map(({ adminAccess }) => adminAccess)).to.deep.equal([true]);
    // The scheduler wants it to have room, and does not count it (Kubernetes 1.36).
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
    expect((await world.seen("looking")).exec).to.equal("0");
    expect((await world.environment("looking")).filter((one) => one.startsWith("DRA_"))).to.deep.equal([]);
    expect(await held(), "claims that hold CPUs").to.equal(1);
    await world.remove("looking");
    expect(await world.seen("claimed")).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
    await world.remove("claimed");
    await until("no claim holds CPUs", async () => (await held()) === 0, 20_000);
  });
});
