import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import type { SliceApi, SliceEvent, StoredSlice } from "../../src/publish/ports.ts";
import { Publisher } from "../../src/publish/publisher.ts";
import type { Device, ResourceSlice } from "../../src/slices/device.ts";
import { devicesFor } from "../../src/slices/kept.ts";
import { planDevices } from "../../src/slices/plan.ts";
import { SysfsOverlay } from "../../src/sysfs/overlay.ts";
import { readMachine } from "../../src/topology/read.ts";
import { twoSockets } from "../topology/machines.ts";

const plan = planDevices(readMachine(SysfsOverlay.parse(twoSockets(), undefined)), {
  mode: "grouped",
  groupBy: "numanode",
  reserved: CpuSet.empty,
  keepShared: 0,
});

/** Of three slices. */
const manyOf = (devices: readonly Device[]): Device[] =>
  Array.from({ length: 300 }, (_, n) => ({ ...(devices[0] as Device), name: `cpudev${n}` }));

/** An API server whose schema has only some of the mapping's names; every sent slice is remembered. */
class Server implements SliceApi {
  readonly sent: { readonly dryRun: boolean; readonly slice: ResourceSlice }[] = [];
  readonly #lacks: readonly ("nodeAllocatableResourceMappings" | "nodeAllocatableResources")[];
  readonly #events: SliceEvent[] = [];
  readonly stored = new Map<string, StoredSlice>();
  #wake: () => void = () => {};

  constructor(...lacks: readonly ("nodeAllocatableResourceMappings" | "nodeAllocatableResources")[]) {
    this.#lacks = lacks;
  }

  async nodeUid(): Promise<string> {
    return "u";
  }

  async apply(slice: ResourceSlice, dryRun: boolean): Promise<StoredSlice> {
    this.sent.push({ dryRun, slice });
    for (const field of this.#lacks)
      if (slice.spec.devices.some((device) => device[field] !== undefined))
        throw new Error(`500: .spec.devices[0].${field}: field not declared in schema`);
    const got = { ...slice, metadata: { name: slice.metadata.name, uid: "s", resourceVersion: "1" } };
    if (!dryRun) this.stored.set(slice.metadata.name, got);
    return got;
  }

  async remove(slice: StoredSlice): Promise<void> {
    this.stored.delete(slice.metadata.name);
  }

  async list(): Promise<StoredSlice[]> {
    return [...this.stored.values()];
  }

  tell(event: SliceEvent): void {
    this.#events.push(event);
    this.#wake();
  }

  async *watch(_driver: string, _node: string, signal: AbortSignal): AsyncGenerator<SliceEvent> {
    yield { kind: "list", slices: [...this.stored.values()] };
    while (!signal.aborted) {
      const event = this.#events.shift();
      if (event !== undefined) yield event;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          signal.addEventListener("abort", () => resolve(), { once: true });
        });
    }
  }
}

async function publishing(
  server: Server,
  mapping: "1.36" | "none",
  act: (p: Publisher) => Promise<void>,
  devices = plan.devices,
  said: string[] = [],
): Promise<void> {
  const stop = new AbortController();
  const log = { info: (text: string) => void said.push(text), warn: () => {}, error: () => {} };
  const publisher = new Publisher({
    api: server,
    driver: "dra.cpu",
    nodeName: "n",
    devices: (kept) => devicesFor({ ...plan, devices }, kept),
    wishes: { shared: true, lists: true, taints: true, mapping },
    log,
  });
  const ended = publisher.run(stop.signal);
  try {
    await act(publisher);
  } finally {
    stop.abort();
    await ended;
  }
}
const soon = async (what: () => boolean): Promise<void> => {
  for (let n = 0; n < 200 && !what(); n++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(what()).to.equal(true);
};

describe("publishing", () => {
  it("takes the name of the mapping that the server knows, and never sends the other again", async () => {
    const server = new Server("nodeAllocatableResourceMappings");
    await publishing(server, "1.36", async (publisher) => {
      await soon(() => publisher.state().published);
      expect(publisher.state().dropped).to.deep.equal([]);
      expect(server.sent.map(({ dryRun }) => dryRun)).to.deep.equal([true, true, false]);
      const [slice] = server.stored.values();
      expect(slice?.spec.devices?.[0]).to.have.property("nodeAllocatableResources");
      if (slice !== undefined) server.tell({ kind: "deleted", slice });
      await soon(() => server.sent.length === 5);
      expect(server.sent.slice(3).map((one) => one.slice.spec.devices[0])).to.satisfy((devices: object[]) =>
        devices.every((device) => !("nodeAllocatableResourceMappings" in device)),
      );
    });
  });

  it("goes on saying what the server's schema lacks", async () => {
    const server = new Server("nodeAllocatableResourceMappings", "nodeAllocatableResources");
    await publishing(server, "1.36", async (publisher) => {
      await soon(() => publisher.state().published);
      const [slice] = server.stored.values();
      if (slice !== undefined) server.tell({ kind: "deleted", slice });
      await soon(() => server.sent.length === 6);
      expect(publisher.state().dropped.join()).to.include("DRANodeAllocatableResources");
    });
  });

  it("writes nothing where the server has all that it keeps of it, in a pool of several slices too", async () => {
    for (const many of [manyOf(plan.devices), plan.devices]) {
      const server = new Server("nodeAllocatableResourceMappings");
      const generations = (): unknown[] => [...server.stored.values()].map((slice) => slice.spec.pool.generation);
      const said: string[] = [];
      const publish = (): Promise<void> =>
        publishing(server, "1.36", async (publisher) => soon(() => publisher.state().published), many, said);
      await publish();
      expect(server.stored.size).to.equal(many === plan.devices ? 1 : 3);
      const before = generations();
      server.sent.length = 0;
      await publish();
      expect(generations()).to.deep.equal(before);
      expect(server.sent.map(({ dryRun }) => dryRun)).not.to.include(false);
      expect(said).to.deep.equal(["published ResourceSlices"]);
    }
  });

  it("takes away what another configuration published", async () => {
    const server = new Server();
    await publishing(server, "1.36", async (publisher) => soon(() => publisher.state().published));
    expect([...server.stored.values()][0]?.spec.devices?.[0]).to.have.property("nodeAllocatableResourceMappings");
    await publishing(server, "none", async (publisher) => soon(() => publisher.state().published));
    expect([...server.stored.values()][0]?.spec.devices?.[0]).not.to.have.property("nodeAllocatableResourceMappings");
  });
});
