import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCdi } from "@dracpu/driver/cdi/spec.ts";
import { CdiDirectory } from "@dracpu/driver/disk/cdidirectory.ts";
import { MetadataDirectory } from "@dracpu/driver/disk/metadatadirectory.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";

const UID = "11111111-2222-3333-4444-555555555555";
const claim = (more: Partial<AllocationRecord> = {}): AllocationRecord => ({
  claim: { uid: UID, namespace: "ns", name: "made-up-x7f2" },
  state: "prepared",
  consumers: [],
  shares: [
    { request: "fast", pool: "node-a", device: "cpudevnuma000", cpus: CpuSet.parse("2-3") },
    { request: "slow", pool: "node-a", device: "cpudevnuma001", cpus: CpuSet.parse("9") },
  ],
  idle: CpuSet.empty,
  isolated: false,
  operationId: "",
  ...more,
});

interface Spec {
  readonly devices: readonly {
    readonly containerEdits: {
      readonly mounts: readonly { readonly hostPath: string; readonly containerPath: string }[];
    };
  }[];
}

describe("device metadata of a claim", () => {
  const dir = mkdtempSync(join(tmpdir(), "dm-"));
  const root = join(dir, "metadata");
  const cdi = new CdiDirectory(
    join(dir, "cdi"),
    new MetadataDirectory(root, (device) => (device === "cpudevnuma000" ? { "dra.cpu/numaNodeID": { int: 0 } } : {})),
  );
  after(() => rmSync(dir, { recursive: true }));
  const mounts = (): string[] => {
    const [file = ""] = readdirSync(join(dir, "cdi"));
    const spec = JSON.parse(readFileSync(join(dir, "cdi", file), "utf8")) as Spec;
    const all = spec.devices.flatMap((device) => device.containerEdits.mounts);
    const found = all.filter((mount) => mount.containerPath.includes("dra-device-attributes"));
    for (const { hostPath } of found) expect(existsSync(hostPath), hostPath).to.equal(true);
    return found.map((mount) => mount.containerPath);
  };

  it("is a stream of one object in both versions, with the published attributes and the exact CPUs", async () => {
    await cdi.write(claim());
    const stream = readFileSync(join(root, UID, "fast.json"), "utf8").split(/^(?=\{)/m);
    const objects = stream.map((text) => JSON.parse(text) as object);
    expect(objects).to.deep.equal(
      ["v1beta1", "v1alpha1"].map((version) => ({
        apiVersion: `metadata.resource.k8s.io/${version}`,
        kind: "DeviceMetadata",
        metadata: { name: "made-up-x7f2", namespace: "ns", uid: UID, generation: 1 },
        requests: [
          {
            name: "fast",
            devices: [
              {
                driver: "dra.cpu",
                pool: "node-a",
                name: "cpudevnuma000",
                attributes: {
                  "dra.cpu/numaNodeID": { int: 0 },
                  "dra.cpu/allocatedCPUs": { string: "2-3" },
                  "dra.cpu/allocatedNumCPUs": { int: 2 },
                },
              },
            ],
          },
        ],
      })),
    );
  });
  it("is mounted where the pod can tell the path: by the claim's name, or by the pod's name for it", async () => {
    const base = "/var/run/kubernetes.io/dra-device-attributes";
    await cdi.write(claim());
    expect(mounts()).to.deep.equal(
      ["fast", "slow"].map((one) => `${base}/resourceclaims/made-up-x7f2/${one}/dra.cpu-metadata.json`),
    );
    await cdi.write(claim({ podClaimName: "cpus" }));
    expect(mounts()).to.deep.equal(
      ["fast", "slow"].map((one) => `${base}/resourceclaimtemplates/cpus/${one}/dra.cpu-metadata.json`),
    );
    const [file = ""] = readdirSync(join(dir, "cdi"));
    const reading = readCdi(UID, readFileSync(join(dir, "cdi", file), "utf8"));
    expect(
      reading.kind === "ours" && reading.allocation.podClaimName,
      "a driver that lost its state knows it",
    ).to.equal("cpus");
  });
  it("makes a claim's files incomplete where it is gone, and goes with the claim", async () => {
    await cdi.write(claim());
    expect(await cdi.list()).to.deep.equal([UID]);
    rmSync(root, { recursive: true });
    expect(await cdi.list()).to.deep.equal([]);
    expect((await cdi.remembered()).allocations, "it is remembered all the same").to.have.length(1);
    await cdi.write(claim());
    await cdi.remove(UID);
    expect(readdirSync(root)).to.deep.equal([]);
    expect(readdirSync(join(dir, "cdi"))).to.deep.equal([]);
  });
  it("is none for a claim that another driver prepared as a whole, whose files are complete without", async () => {
    const [share] = claim().shares;
    await cdi.write(claim({ shares: [{ ...share, request: "" } as AllocationRecord["shares"][number]] }));
    expect(mounts()).to.deep.equal([]);
    expect(await cdi.list()).to.deep.equal([UID]);
  });
});
