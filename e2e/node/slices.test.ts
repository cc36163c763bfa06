import { ApiServer } from "@dracpu/driver/apiserver/apiserver.ts";
import { ApiHttp } from "@dracpu/driver/apiserver/http.ts";
import { Publisher } from "@dracpu/driver/publish/publisher.ts";
import { TAINT_KEY } from "@dracpu/driver/publish/nodetaint.ts";
import type { DeviceTaint } from "@dracpu/driver/slices/device.ts";
import { devicesFor, dropped, type Kept } from "@dracpu/driver/slices/kept.ts";
import { GROUP_BY } from "@dracpu/driver/slices/groups.ts";
import { planDevices, type DeviceOptions, type DevicePlan } from "@dracpu/driver/slices/plan.ts";
import { planSlices } from "@dracpu/driver/slices/slices.ts";
import { SysfsOverlay } from "@dracpu/driver/sysfs/overlay.ts";
import { readMachine } from "@dracpu/driver/topology/read.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { ControlPlane } from "../kit/node/controlplane.ts";
import { until } from "../kit/node/processes.ts";
import { machine as overlayOf, MACHINES } from "../machines/build.ts";

const DEFAULTS: Kept = { shared: true, lists: true, taints: true, mapping: "none" };
const QUIET = { info: () => {}, warn: () => {}, error: () => {} };
const NEVER = new AbortController().signal;

const plan = (name: string, options: Partial<DeviceOptions>): DevicePlan =>
  planDevices(readMachine(SysfsOverlay.parse(overlayOf(name), undefined)), {
    mode: "grouped",
    groupBy: "numanode",
    reserved: CpuSet.empty,
    keepShared: 1,
    ...options,
  });
/** Every device of the Xeon is near two roots. */
const rooted = (): DevicePlan => {
  const near = CpuSet.range(0, 511);
  const roots = ["pci0000:00", "pci0000:40"].map((name) => ({ name, cpus: near }));
  return plan("xeon-8480-2s-snc4", { pcieRoots: { roots, problems: [] }, pcieRootLists: true });
};

// A fake API server accepts what the real one refuses, so every shape is shown to the real one.
for (const [gates, expected] of [
  [undefined, { shared: true, lists: false, taints: true, mapping: "none" }],
  [
    "DRAListTypeAttributes=true,DRANodeAllocatableResources=true",
    { shared: true, lists: true, taints: true, mapping: "1.36" },
  ],
  [
    "DRAConsumableCapacity=false,DRADeviceTaints=false",
    { shared: false, lists: false, taints: false, mapping: "none" },
  ],
] as const) {
  describe(`slices, on a real API server with ${gates ?? "its default feature gates"}`, function () {
    this.timeout(120_000);
    const plane = new ControlPlane();
    const owner = { driver: "dra.cpu", nodeName: "n", nodeUid: "" };
    before(async () => {
      await plane.start(gates === undefined ? {} : { featureGates: gates });
      const node = await plane.request<{ metadata: { uid: string } }>("POST", "/api/v1/nodes", {
        metadata: { name: "n" },
      });
      owner.nodeUid = node.metadata.uid;
    });
    after(() => plane.stop());

    if (gates === undefined) {
      for (const name of MACHINES) {
        it(`${name} is taken as it is, in every mode`, async () => {
          const api = new ApiServer(new ApiHttp(plane.kubeconfig), QUIET);
          const modes: Partial<DeviceOptions>[] = [
            ...GROUP_BY.flatMap((groupBy) => [{ groupBy }, { groupBy, wholeCores: true, keepShared: 0 }]),
            { mode: "individual" },
            { reserved: CpuSet.range(0, 2000) },
          ];
          for (const mode of modes) {
            for (const slice of planSlices(devicesFor(plan(name, mode), DEFAULTS), owner, 1)) {
              const got = await api.apply(slice, true, NEVER);
              expect(got.spec.devices ?? [], JSON.stringify(mode)).to.deep.equal(slice.spec.devices);
              expect(dropped(DEFAULTS, slice.spec.devices, got.spec.devices ?? [])).to.equal(undefined);
            }
          }
        });
      }
    }

    it("are published in the form that it keeps, and what is lost is said", async () => {
      const devices = async (): Promise<{ taints?: object[] }[]> => {
        const { items } = await plane.request<{ items: { spec: { devices: object[] } }[] }>(
          "GET",
          "/apis/resource.k8s.io/v1/resourceslices",
        );
        return items.flatMap((slice) => slice.spec.devices);
      };
      let taint: DeviceTaint | undefined = { key: TAINT_KEY, value: "DRACPU-106", effect: "NoSchedule" };
      const api = new ApiServer(new ApiHttp(plane.kubeconfig), QUIET);
      const stop = new AbortController();
      const tried: Kept[] = [];
      const publisher = new Publisher({
        api,
        driver: "dra.cpu",
        nodeName: "n",
        devices: (kept) => {
          tried.push(kept);
          return devicesFor(rooted(), kept, taint);
        },
        wishes: { ...DEFAULTS, mapping: "1.36" },
        log: QUIET,
      });
      const ended = publisher.run(stop.signal);
      await until("slices are published", () => publisher.state().published, 20_000, 20);
      const tainted = (await devices()).filter((one) => one.taints !== undefined).length;
      expect(tainted).to.equal(expected.taints ? 8 : 0);
      const told = publisher.state().dropped.join("\n");
      expect(tried.at(-1)).to.deep.equal({
        ...expected,
        lists: expected.shared ? expected.lists : tried.at(-1)?.lists,
      });
      expect(told.includes("DRAListTypeAttributes")).to.equal(tried.at(-1)?.lists === false);
      expect(told.includes("DRANodeAllocatableResources")).to.equal(expected.mapping === "none");
      expect(told.includes("DRAConsumableCapacity")).to.equal(!expected.shared);
      expect(told.includes("DRADeviceTaints")).to.equal(!expected.taints);
      taint = undefined;
      publisher.kick();
      await until("no taint is left", async () => (await devices()).every((one) => one.taints === undefined), 20_000);
      stop.abort();
      await ended;
      expect((await devices()).length).to.equal(expected.shared ? 8 : 223);
    });

    it("are refused for an unknown field by a 500 that says so", async () => {
      const api = new ApiServer(new ApiHttp(plane.kubeconfig), QUIET);
      const [slice] = planSlices(devicesFor(rooted(), { ...DEFAULTS, lists: false, mapping: "1.37" }), owner, 9);
      if (slice === undefined) throw new Error("no slice was planned");
      const refusal = await api.apply(slice, true, NEVER).then(
        () => "",
        (cause: unknown) => (cause as Error).message,
      );
      expect(refusal).to.include("500").and.include("field not declared in schema");
    });
  });
}
