import { expect } from "chai";
import { printNodes, printWho } from "../../src/cli/cluster.ts";
import { holderViews, nodeViews, type PublishedSlice } from "../../src/cluster/cluster.ts";
import type { ResourceClaim } from "../../src/claims/resourceclaim.ts";

const slice = (
  node: string,
  generation: number,
  devices: Readonly<Record<string, string>>,
  driver = "dra.cpu",
): PublishedSlice =>
  ({
    spec: {
      driver,
      nodeName: node,
      pool: { name: node, generation, resourceSliceCount: 1 },
      devices: Object.entries(devices).map(([name, value], n) => ({
        name,
        attributes: { "resource.kubernetes.io/numaNode": { int: n } },
        capacity: { "dra.cpu/cpu": { value } },
      })),
    },
  }) as unknown as PublishedSlice;

const claim = (
  name: string,
  results: readonly (readonly [string, string, string | undefined])[],
  pod = "p",
): ResourceClaim => ({
  metadata: { name, namespace: "shop", uid: `uid-${name}` },
  status: {
    allocation: {
      devices: {
        results: results.map(([pool, device, cpus]) => ({
          request: "cpus",
          driver: pool === "gpu" ? "gpu.example" : "dra.cpu",
          pool,
          device,
          ...(cpus === undefined ? {} : { consumedCapacity: { "dra.cpu/cpu": cpus } }),
        })),
      },
    },
    reservedFor: [{ resource: "pods", name: pod, uid: "u" }],
  },
});

describe("the cluster as the API server counts it", () => {
  const slices = [
    slice("b", 2, { numa0: "16", numa1: "16" }),
    // What was published before is about to go.
    slice("b", 1, { old: "64" }),
    slice("a", 1, { cpu1: "1", cpu2: "1" }),
    slice("a", 1, { gpu: "8" }, "gpu.example"),
  ];
  const claims = [
    claim("db", [["b", "numa0", "6"]]),
    claim("wide", [
      ["b", "numa0", "2"],
      ["b", "numa1", "4"],
    ]),
    claim("one", [["a", "cpu2", undefined]]),
    claim("graphics", [["gpu", "gpu", undefined]]),
    { metadata: { name: "waiting", namespace: "shop", uid: "w" } },
  ];

  it("has each node's capacity, what is taken, and the most that one request can get", () => {
    const views = nodeViews(slices, claims, "dra.cpu");
    expect(views.map(({ devices: _devices, ...node }) => node)).to.deep.equal([
      { node: "a", capacity: 2, taken: 1, free: 1, largest: 1, claims: 1, taints: [] },
      { node: "b", capacity: 32, taken: 12, free: 20, largest: 12, claims: 2, taints: [] },
    ]);
    const lines = printNodes(views, false).split("\n");
    expect(lines[2]).to.match(/^b +32 +12 +20 +12 +40 % +2 +-$/);
    expect(lines[3]).to.match(/^all +34 +13 +21 +12/);
    expect(printNodes(views, true)).to.match(/b +numa1 +1 +- +16 +4 +12/);
    const taints = [{ key: "dra.cpu/cannot-pin", value: "DRACPU-106", effect: "NoSchedule" }];
    const tainted = { spec: { ...slices[2]?.spec, devices: [{ name: "cpu1", taints }] } } as unknown as PublishedSlice;
    expect(printNodes(nodeViews([tainted], [], "dra.cpu"), false)).to.match(
      /dra\.cpu\/cannot-pin=DRACPU-106:NoSchedule$/,
    );
    expect(printNodes([], false)).to.equal("no node publishes CPUs");
  });

  it("has who holds CPUs, and on which CPUs, where the nodes have said it", () => {
    const told = [
      { driver: "dra.cpu", data: { cpus: "1-4" } },
      { driver: "dra.cpu", data: { cpus: "9,11" } },
      { driver: "gpu.example", data: { cpus: "0" } },
    ];
    const [db, ...others] = claims;
    const holders = holderViews(
      [{ ...db, status: { ...db?.status, devices: told } } as ResourceClaim, ...others],
      "dra.cpu",
    );
    expect(holders.map((one) => [one.node, one.claim, one.cpus, one.devices])).to.deep.equal([
      ["a", "one", 1, ["cpu2"]],
      ["b", "db", 6, ["numa0"]],
      ["b", "wide", 6, ["numa0", "numa1"]],
    ]);
    expect(printWho(holders)).to.match(/shop\/db +6 +1-4,9,11 +numa0 +p/);
    expect(printWho(holders)).to.match(/shop\/one +1 +- +cpu2 +p/);
    const odd = {
      ...db,
      status: { ...db?.status, devices: [{ driver: "dra.cpu", data: { cpus: "x" } }] },
    } as ResourceClaim;
    expect(holderViews([odd], "dra.cpu")[0]?.list).to.equal("");
  });
});
