import { devicesFor } from "@dracpu/driver/slices/kept.ts";
import { planDevices, type DeviceMode } from "@dracpu/driver/slices/plan.ts";
import { planSlices } from "@dracpu/driver/slices/slices.ts";
import { SysfsOverlay } from "@dracpu/driver/sysfs/overlay.ts";
import { readMachine } from "@dracpu/driver/topology/read.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { binary } from "../build/build.ts";
import { LARGE_SAMPLES, sampleNames, sampleText } from "../kit/samples.ts";
import { twoSockets } from "../../driver/test/topology/machines.ts";
import { world } from "./suite.ts";
import { until } from "./world.ts";

/** Run on the real node, which has one CPU to give. */
const SMALL = ["one-cpu", "exact-cpus", "deployment", "statefulset"];
/**
 * Allocated by the real scheduler on nodes that are objects alone, with 16 CPUs each: by request, what it consumes of which devices. They run on an emulated
 * machine (`npm run e2e:guest -- samples`).
 */
const LARGE: Readonly<Record<(typeof LARGE_SAMPLES)[number], readonly string[]>> = {
  aligned: ["cpus 2 cpudevnuma001", "gpu  gpu-1"],
  individual: ["cpus  cpudev000", "cpus  cpudev008"],
  "numa-node": ["cpus 8 cpudevnuma000"],
  "two-containers": ["workers 2 cpudevnuma000", "poller 1 cpudevnuma000"],
  "whole-cores": ["cpus 4 cpudevnuma000"],
};

interface Claims {
  readonly items: readonly {
    readonly status?: {
      readonly allocation?: {
        readonly devices: {
          readonly results: readonly {
            readonly request: string;
            readonly device: string;
            readonly consumedCapacity?: Readonly<Record<string, string>>;
          }[];
        };
      };
    };
  }[];
}

describe("the samples", function () {
  this.timeout(90_000);
  const { node } = world;
  const kubectl = (verb: string, name: string, ...args: string[]): Promise<string> =>
    node.run(binary("kube", "kubectl"), ["--kubeconfig", node.kubeconfig, verb, "-f", "-", ...args], sampleText(name));

  afterEach(async () => {
    for (const name of [...SMALL, ...LARGE_SAMPLES])
      await kubectl("delete", name, "--ignore-not-found", "--grace-period=0", "--force", "--wait=true");
    await until(
      "claims are gone",
      async () => (await node.json<Claims>("get", "resourceclaims")).items.length === 0,
      20_000,
      200,
    );
  });
  after(async () => {
    await node.kubectl("delete", "nodes,resourceslices,deviceclasses", "-l", "made-by=samples");
    for (const name of ["big", "singles"]) await world.removeOwnOn(name);
  });

  it("are all tried here", () => {
    expect(sampleNames().toSorted()).to.deep.equal([...SMALL, ...LARGE_SAMPLES].toSorted());
  });

  for (const name of SMALL) {
    it(`${name}: runs pinned`, async () => {
      await kubectl("apply", name);
      const pods = await until("it has a pod", async () => {
        const all = await node.kubectl("get", "pods", "-o", "jsonpath={.items[*].metadata.name}");
        return all.split(" ").find((one) => one.startsWith(name));
      });
      await world.running(pods);
      expect(await world.node.kubectl("logs", pods)).to.match(/^Cpus_allowed_list:\s1\n/);
    });
  }

  describe("that are larger than this node", () => {
    before(async () => {
      await fakeNode("big", "grouped");
      await fakeNode("singles", "individual");
      await node.apply(
        { ...GPU_CLASS, metadata: { name: "gpu.example.com", labels: LABELS } },
        gpuSlice("big", ["gpu-1"], 1),
      );
    });

    for (const name of LARGE_SAMPLES) {
      it(`${name}: is allocated as it says`, async () => {
        await kubectl("apply", name);
        const found = await until(
          "its claim is allocated",
          async () => {
            const { items } = await node.json<Claims>("get", "resourceclaims");
            return items[0]?.status?.allocation?.devices.results;
          },
          20_000,
          200,
        );
        const lines = found.map((one) => `${one.request} ${one.consumedCapacity?.["dra.cpu/cpu"] ?? ""} ${one.device}`);
        expect(lines).to.deep.equal(LARGE[name]);
      });
    }
  });

  async function fakeNode(name: string, mode: DeviceMode): Promise<void> {
    await world.objectNode(name, true, LABELS);
    const machine = readMachine(SysfsOverlay.parse(twoSockets(), undefined));
    const plan = planDevices(machine, { mode, groupBy: "numanode", reserved: CpuSet.empty, keepShared: 0 });
    const devices = devicesFor(plan, { shared: true, lists: false, taints: true, mapping: "none" });
    const nodeUid = await node.kubectl("get", "node", name, "-o", "jsonpath={.metadata.uid}");
    for (const slice of planSlices(devices, { driver: "dra.cpu", nodeName: name, nodeUid }, 1))
      await node.apply({ ...slice, metadata: { ...slice.metadata, labels: LABELS } });
  }
});

const LABELS = { "made-by": "samples" };
const GPU_CLASS = {
  apiVersion: "resource.k8s.io/v1",
  kind: "DeviceClass",
  spec: { selectors: [{ cel: { expression: 'device.driver == "gpu.example.com"' } }] },
};

function gpuSlice(nodeName: string, names: readonly string[], numaNode: number): object {
  return {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceSlice",
    metadata: { name: "gpus", labels: LABELS },
    spec: {
      driver: "gpu.example.com",
      nodeName,
      pool: { name: nodeName, generation: 1, resourceSliceCount: 1 },
      devices: names.map((name) => ({ name, attributes: { "resource.kubernetes.io/numaNode": { int: numaNode } } })),
    },
  };
}
