import { create } from "@bufbuild/protobuf";
import { CreateContainerResponseSchema } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Kubelet } from "@dracpu/driver/kubelet/kubelet.ts";
import type { ClaimRef, DraPlugin } from "@dracpu/driver/prepare/ports.ts";
import { OtherPlugin } from "../kit/nri/plugin.ts";
import { NODE_NAME, type RealNode } from "../kit/node/node.ts";
import { until } from "../kit/node/processes.ts";

const DRIVER = "dra.cpu";
const DEVICE = "cpudevnuma000";
/** The one CPU that its claims get here. */
const CPUS = "1";

/** What the reference driver's manifests create in the cluster under names of our chart's. */
export const REFERENCE_CLASS = {
  apiVersion: "resource.k8s.io/v1",
  kind: "DeviceClass",
  metadata: { name: DRIVER },
  spec: { selectors: [{ cel: { expression: `device.driver == "${DRIVER}"` } }] },
};

/** Of a node with CPU 0 reserved, grouped by NUMA node. */
export const REFERENCE_SLICE = {
  apiVersion: "resource.k8s.io/v1",
  kind: "ResourceSlice",
  metadata: { name: "of-the-reference-driver" },
  spec: {
    driver: DRIVER,
    nodeName: NODE_NAME,
    pool: { name: NODE_NAME, generation: 1, resourceSliceCount: 1 },
    devices: [{ name: DEVICE, allowMultipleAllocations: true, capacity: { "dra.cpu/cpu": { value: CPUS } } }],
  },
};

/**
 * The reference driver as kubelet, runtime and a node's files meet it, for one claim at a time: one CDI device of the claim's name with one variable, in the text that its CDI
 * library writes, and the mask in a container's creation. Its own program is in e2e/node/takeover.test.ts, where somebody gives it.
 */
export class ReferenceDriver {
  readonly #kubelet: Kubelet;
  readonly #masks: OtherPlugin;

  constructor(node: RealNode) {
    const file = ({ uid }: ClaimRef): string => join(node.cdiDir, `dra.k8s.io-cpu_claim-${uid}.json`);
    const plugin: DraPlugin = {
      prepare: (claims) => {
        for (const claim of claims) writeFileSync(file(claim), spec(claim.uid), { mode: 0o600 });
        return Promise.resolve(new Map(claims.map(({ uid }) => [uid, { kind: "prepared", devices: [device(uid)] }])));
      },
      unprepare: (claims) => {
        for (const claim of claims) rmSync(file(claim), { force: true });
        return Promise.resolve(new Map(claims.map(({ uid }) => [uid, { kind: "done" }])));
      },
      stop: () => Promise.resolve(),
    };
    const nothing = (): void => {};
    this.#kubelet = new Kubelet({
      rootDir: node.kubeletRootDir,
      driver: DRIVER,
      plugin,
      health: { health: () => Promise.resolve([]), subscribe: () => nothing },
      log: { info: nothing, warn: nothing, error: nothing },
      onContact: nothing,
    });
    this.#masks = new OtherPlugin(node.nriSocket, "01", () =>
      create(CreateContainerResponseSchema, { adjust: { linux: { resources: { cpu: { cpus: CPUS } } } } }),
    );
  }

  async start(): Promise<void> {
    await this.#kubelet.start();
    await this.#masks.connect();
    await until("the kubelet knows the reference driver", () => this.#kubelet.state().registered, 30_000);
  }

  async stop(): Promise<void> {
    this.#masks.close();
    await this.#kubelet.stop();
  }
}

function spec(uid: string): string {
  const devices = [{ name: `claim-${uid}`, containerEdits: { env: [`DRA_CPUSET_${uid}=${CPUS}`] } }];
  return JSON.stringify({ cdiVersion: "0.8.0", kind: "dra.k8s.io/cpu", devices, containerEdits: {} });
}

function device(uid: string) {
  const cdiDeviceIds = [`dra.k8s.io/cpu=claim-${uid}`];
  return { requestNames: ["cpus"], pool: NODE_NAME, device: DEVICE, cdiDeviceIds, shareId: undefined };
}
