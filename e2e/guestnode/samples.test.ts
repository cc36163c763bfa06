import { join } from "node:path";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { bundle } from "../../images/bundle.ts";
import { binary } from "../build/build.ts";
import { LARGE_SAMPLES, sampleText } from "../kit/samples.ts";
import type { Oracle } from "../runtime/guest/oracle.ts";
import { world } from "./suite.ts";
import { SLOW, until } from "./world.ts";

const REPOSITORY = "localhost/dra-driver-cpu";
const GPU = "gpu.example.com";
type Sample = (typeof LARGE_SAMPLES)[number];

// Those that ask for more CPUs than a machine of two has.
describe("samples for larger nodes, on a node of 16 CPUs", function () {
  this.timeout(2 * SLOW);
  this.bail(true);
  const { cluster } = world;
  let oracle: Oracle;
  const own = new Map<string, CpuSet>();

  /** What a container's own first words say that its CPUs are. */
  const said = async (pod: string, container = "main"): Promise<CpuSet> => {
    const line = await until(
      `container ${container} of ${pod} says its CPUs`,
      async () =>
        /^Cpus_allowed_list:\s*(\S+)/m.exec(await cluster.kubectl("logs", pod, "-c", container).catch(() => ""))?.[1],
      SLOW,
      2000,
    );
    const cpus = CpuSet.parse(line);
    own.set(`${pod}/${container}`, cpus);
    return cpus;
  };
  const sample = (verb: "create" | "delete", name: Sample): Promise<string> => {
    const kubectl = ["--kubeconfig", cluster.kubeconfig, verb, "-f", "-"];
    const args = verb === "delete" ? [...kubectl, "--wait=false"] : kubectl;
    return cluster.run(binary("kube", "kubectl"), args, sampleText(name));
  };
  const tried = new Set<Sample>();
  const starts = (name: Sample): Promise<string> => {
    tried.add(name);
    return sample("create", name);
  };
  /** Nobody else is where a sample's container is. */
  const alone = async (): Promise<void> => {
    const all = [...own.values()];
    const union = CpuSet.union(all);
    expect(union.size, all.map(String).join(" and ")).to.equal(all.reduce((sum, one) => sum + one.size, 0));
    await until(
      "the shared pod is off them",
      async () => !CpuSet.parse(await world.inside("shared")).overlaps(union),
      SLOW,
      2000,
    );
  };
  const ends = async (...names: readonly Sample[]): Promise<void> => {
    await Promise.all(names.map((name) => sample("delete", name)));
    await world.remove(...names).catch(() => {
      // Gone already.
    });
    own.clear();
    await world.empty(oracle.online);
  };

  before(async () => {
    oracle = await world.large();
    await world.settings("groupBy=numanode");
    await world.devicesBecome("large", (all) => all.map((one) => one.name).join() === "cpudevnuma000,cpudevnuma001");
  });

  it("whole-cores: four threads, and nobody on a sibling", async () => {
    await starts("whole-cores");
    const cpus = await said("whole-cores");
    expect(cpus.size, cpus.toString()).to.equal(4);
    expect(oracle.siblings(cpus).toString(), `siblings of ${cpus.toString()}`).to.equal("");
    await alone();
  });

  it("two-containers, beside it: each has its own of one claim", async () => {
    await starts("two-containers");
    expect((await said("two-containers", "workers")).size).to.equal(2);
    expect((await said("two-containers", "poller")).size).to.equal(1);
    await alone();
  });

  it("aligned, beside them: in the NUMA node of another driver's device", async () => {
    await gpuDriver();
    await starts("aligned");
    const cpus = await said("aligned");
    expect(cpus.size, cpus.toString()).to.equal(2);
    expect(cpus.isSubsetOf(CpuSet.range(8, 15)), cpus.toString()).to.equal(true);
    await alone();
    await ends("aligned", "two-containers", "whole-cores");
    await cluster.kubectl("delete", "pod/gpus", "configmap/gpus", "--wait=false");
    await cluster.kubectl("delete", `deviceclass/${GPU}`, "resourceslice/gpus", "--ignore-not-found");
  });

  it("numa-node: all of one", async () => {
    await starts("numa-node");
    expect((await said("numa-node")).toString()).to.equal("8-15");
    await alone();
    await ends("numa-node");
  });

  it("individual, on a node in that mode: two CPUs of one L3 cache", async () => {
    await world.settings("cpuDeviceMode=individual");
    await world.devicesBecome("large", (all) => all.length === 15);
    await starts("individual");
    const cpus = await said("individual");
    expect(cpus.size, cpus.toString()).to.equal(2);
    expect(oracle.units("l3").filter((one) => cpus.isSubsetOf(one))).to.have.length(1);
    await alone();
    await ends("individual");
    expect([...tried].toSorted()).to.deep.equal([...LARGE_SAMPLES].toSorted());
  });

  /** A device in the second NUMA node, and who prepares it. */
  async function gpuDriver(): Promise<void> {
    const program = join(cluster.dir, "gpus.mjs");
    await bundle(join(import.meta.dirname, "gpus.ts"), program);
    await cluster.kubectl("create", "configmap", "gpus", `--from-file=${program}`);
    const attributes = { "resource.kubernetes.io/numaNode": { int: 1 } };
    const hostPath = { path: "/var/lib/kubelet" };
    await cluster.apply(
      {
        apiVersion: "resource.k8s.io/v1",
        kind: "DeviceClass",
        metadata: { name: GPU },
        spec: { selectors: [{ cel: { expression: `device.driver == "${GPU}"` } }] },
      },
      {
        apiVersion: "resource.k8s.io/v1",
        kind: "ResourceSlice",
        metadata: { name: "gpus" },
        spec: {
          driver: GPU,
          nodeName: "large",
          pool: { name: "large-gpus", generation: 1, resourceSliceCount: 1 },
          devices: [{ name: "gpu-1", attributes }],
        },
      },
      {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "gpus" },
        spec: {
          containers: [
            {
              name: "main",
              image: `${REPOSITORY}/driver:${VERSION}`,
              command: ["/usr/bin/node", "/program/gpus.mjs"],
              volumeMounts: [
                { name: "program", mountPath: "/program" },
                { name: "kubelet", mountPath: "/var/lib/kubelet" },
              ],
            },
          ],
          terminationGracePeriodSeconds: 1,
          volumes: [
            { name: "program", configMap: { name: "gpus" } },
            { name: "kubelet", hostPath },
          ],
        },
      },
    );
    await until(
      "the kubelet knows the other driver",
      async () => (await cluster.kubectl("logs", "gpus").catch(() => "")).includes("knows this driver"),
      SLOW,
      2000,
    );
  }
});
