import { cpus, totalmem } from "node:os";
import { devicesFor } from "@dracpu/driver/slices/kept.ts";
import { planDevices, type DeviceOptions } from "@dracpu/driver/slices/plan.ts";
import { planSlices } from "@dracpu/driver/slices/slices.ts";
import { SysfsOverlay } from "@dracpu/driver/sysfs/overlay.ts";
import { readMachine } from "@dracpu/driver/topology/read.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import yargs from "yargs";
import { ControlPlane } from "../../kit/node/controlplane.ts";
import { machine as overlayOf } from "../../machines/build.ts";

// How device layouts scale in the real API server and scheduler: nodes of 512 CPUs are objects alone, pods have a claim of 4 CPUs each.
const LAYOUTS = ["numanode", "l3cache", "socket", "machine", "individual"] as const;
type Layout = (typeof LAYOUTS)[number];
const FIXTURE = "epyc-9754-2s-512";
const CLAIM = 4;
const RESOURCE = "/apis/resource.k8s.io/v1";
const LIMIT_MS = 240_000;

const { nodes, pods, layout } = await yargs(process.argv.slice(2))
  .option("nodes", { type: "number", default: 1000 })
  .option("pods", { type: "number", default: 500 })
  .option("layout", { type: "string", array: true, choices: LAYOUTS, default: LAYOUTS })
  .strict()
  .parseAsync();

console.log(
  `${cpus().length} x ${cpus()[0]?.model ?? "unknown CPU"}, ${Math.round(totalmem() / 2 ** 30)} GB for all of it; ${FIXTURE}; claims of ${CLAIM} CPUs\n`,
);
console.log(
  "| nodes | layout | devices a node | pods bound | pods/s, created to bound | scheduler peak | API server peak | slices written in |",
);
console.log("|--:|---|--:|--:|--:|--:|--:|--:|");
for (const one of layout as readonly Layout[]) console.log(await measured(one));
process.exit(0);

async function measured(one: Layout): Promise<string> {
  const plane = new ControlPlane();
  try {
    await plane.start({ scheduler: true });
    await plane.request("POST", `${RESOURCE}/deviceclasses`, {
      apiVersion: "resource.k8s.io/v1",
      kind: "DeviceClass",
      metadata: { name: "dra.cpu" },
      spec: { selectors: [{ cel: { expression: 'device.driver == "dra.cpu"' } }] },
    });
    const options: Pick<DeviceOptions, "mode" | "groupBy"> =
      one === "individual" ? { mode: one, groupBy: "numanode" } : { mode: "grouped", groupBy: one };
    const machine = readMachine(SysfsOverlay.parse(overlayOf(FIXTURE), undefined));
    const plan = planDevices(machine, { ...options, reserved: CpuSet.empty, keepShared: 1 });
    const devices = devicesFor(plan, { shared: true, lists: true, taints: true, mapping: "none" });
    const uids: string[] = [];
    await parallel(nodes, async (n) => {
      uids[n] = await makeNode(plane, nameOf(n));
    });
    const wrote = performance.now();
    await parallel(nodes, async (n) => {
      const owner = { driver: "dra.cpu", nodeName: nameOf(n), nodeUid: uids[n] ?? "" };
      for (const slice of planSlices(devices, owner, 1))
        await plane.request(
          "PATCH",
          `${RESOURCE}/resourceslices/${slice.metadata.name}?fieldManager=dra.cpu&force=true`,
          slice,
          "application/apply-patch+yaml",
        );
    });
    const slicesMs = performance.now() - wrote;
    const began = performance.now();
    await parallel(pods, (n) => makePod(plane, `p${n}`, one));
    let bound = 0;
    while (bound < pods && performance.now() - began < LIMIT_MS) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      const found = await plane.request<{ items: unknown[] }>(
        "GET",
        "/api/v1/namespaces/default/pods?fieldSelector=spec.nodeName!=&resourceVersion=0",
      );
      bound = found.items.length;
    }
    const rate = bound / ((performance.now() - began) / 1000);
    const row = [
      nodes,
      one,
      devices.length,
      `${bound} of ${pods}`,
      rate.toFixed(rate < 10 ? 1 : 0),
      `${plane.peakMB("kube-scheduler")} MB`,
      `${plane.peakMB("kube-apiserver")} MB`,
      `${(slicesMs / 1000).toFixed(1)} s`,
    ];
    return `| ${row.join(" | ")} |`;
  } finally {
    await plane.stop();
  }
}

async function makeNode(plane: ControlPlane, name: string): Promise<string> {
  const node = await plane.request<{ metadata: { uid: string } }>("POST", "/api/v1/nodes", { metadata: { name } });
  const room = { cpu: "512", memory: "1Ti", pods: "250" };
  const now = new Date().toISOString();
  const ready = {
    type: "Ready",
    status: "True",
    reason: "x",
    message: "x",
    lastHeartbeatTime: now,
    lastTransitionTime: now,
  };
  await plane.request(
    "PATCH",
    `/api/v1/nodes/${name}/status`,
    { status: { allocatable: room, capacity: room, conditions: [ready] } },
    "application/merge-patch+json",
  );
  return node.metadata.uid;
}

async function makePod(plane: ControlPlane, name: string, one: Layout): Promise<void> {
  const asked = one === "individual" ? { count: CLAIM } : { capacity: { requests: { "dra.cpu/cpu": String(CLAIM) } } };
  await plane.request("POST", `${RESOURCE}/namespaces/default/resourceclaims`, {
    apiVersion: "resource.k8s.io/v1",
    kind: "ResourceClaim",
    metadata: { name },
    spec: { devices: { requests: [{ name: "cpus", exactly: { deviceClassName: "dra.cpu", ...asked } }] } },
  });
  await plane.request("POST", "/api/v1/namespaces/default/pods", {
    metadata: { name },
    spec: {
      resourceClaims: [{ name: "cpus", resourceClaimName: name }],
      containers: [{ name: "c", image: "x", resources: { claims: [{ name: "cpus" }] } }],
    },
  });
}

function nameOf(n: number): string {
  return `n${String(n).padStart(4, "0")}`;
}

async function parallel(count: number, work: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: 24 }, async () => {
      while (next < count) await work(next++);
    }),
  );
}
