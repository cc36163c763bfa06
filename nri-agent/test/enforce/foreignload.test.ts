import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { expect } from "chai";
import { ForeignLoad } from "../../src/enforce/foreignload.ts";
import { NodeKnowledge } from "../../src/enforce/node.ts";
import { MemoryCgroup } from "../../../e2e/kit/memorycgroup.ts";
import type { ContainerRecord } from "../../src/masks/container.ts";

const claim = (uid: string, cpus: string): AllocationRecord => ({
  claim: { uid, namespace: "ns", name: `claim-${uid}` },
  state: "prepared",
  consumers: [],
  shares: [{ request: "cpus", pool: "n", device: "d", cpus: CpuSet.parse(cpus) }],
  idle: CpuSet.empty,
  isolated: false,
  operationId: "",
});

describe("foreign load on claims' CPUs", () => {
  let node: NodeKnowledge;
  let busy: Map<number, number>;
  let used: Map<string, number>;
  let outside: Map<string, number>;
  let kernel: MemoryCgroup;
  let atMs: number;
  let load: ForeignLoad;

  const runs = (id: string, ...claims: string[]): void => {
    const uses = claims.map((claimUid) => ({ claimUid, request: "cpus" }));
    const record = { ref: { id }, cgroup: `/${id}`, phase: "running", role: "claim", uses } as unknown;
    node.containers.set(id, record as ContainerRecord);
    used.set(`/${id}`, 0);
  };
  const holds = (uid: string, cpus: string): void => void node.allocations.set(uid, claim(uid, cpus));
  beforeEach(() => {
    node = new NodeKnowledge({ force: "file", masks: "file", why: "" });
    node.session = { id: "s" } as unknown as NodeKnowledge["session"];
    node.synchronized = true;
    busy = new Map([0, 1, 2, 3].map((cpu) => [cpu, 1000]));
    used = new Map();
    atMs = 0;
    const usage = {
      busyMs: () => Promise.resolve(new Map(busy)),
      usedMs: (path: string) => Promise.resolve(used.get(path)),
      outsideMs: (pods: readonly string[]) =>
        Promise.resolve(new Map([...outside].filter(([path]) => !pods.includes(path)))),
    };
    outside = new Map();
    kernel = new MemoryCgroup();
    load = new ForeignLoad(node, usage, kernel, 0.2);
  });
  /** Ten seconds go by, of which CPUs were busy for so many. */
  const passes = async (
    cpus: Readonly<Record<number, number>>,
    ids: Readonly<Record<string, number>> = {},
  ): Promise<void> => {
    for (const [cpu, s] of Object.entries(cpus)) busy.set(Number(cpu), (busy.get(Number(cpu)) ?? 0) + s * 1000);
    for (const [id, s] of Object.entries(ids)) used.set(`/${id}`, (used.get(`/${id}`) ?? 0) + s * 1000);
    atMs += 10_000;
    await load.look(atMs);
  };
  const told = (): string[] => load.findings().map(({ text }) => text);

  it("is told when it lasts, with the claim, its CPUs and how much; and no more when it is over", async () => {
    holds("a", "1-2");
    runs("c", "a");
    await load.look(0);
    for (let n = 0; n < 2; n++) await passes({ 0: 10, 1: 10, 2: 3 }, { c: 10 });
    expect(told(), "not at once").to.deep.equal([]);
    await passes({ 0: 10, 1: 10, 2: 3 }, { c: 10 });
    expect(told()).to.deep.equal(["Others than its containers take 30 % of a CPU from CPUs 1-2 of claim ns/claim-a"]);
    await passes({ 0: 10, 1: 10 }, { c: 10 });
    expect(told()).to.deep.equal([]);
  });

  it("names the cgroups outside of pods that work and may run there, the busiest first", async () => {
    holds("a", "1-2");
    kernel.add("/system.slice/batch.service", "0-3");
    kernel.add("/kept.slice", "0,3");
    kernel.add("/pods/ordinary", "0-3");
    const work: Readonly<Record<string, number>> = {
      "/system.slice/batch.service": 9,
      // The controller reaches no service of this slice, which keeps off all the same.
      "/kept.slice/a.service": 10,
      "/user.slice/unknown": 2,
      "/idle.slice": 0.1,
      "/pods/ordinary": 10,
    };
    node.containers.set("s", { ref: { id: "s" }, cgroup: "/pods/ordinary", uses: [] } as unknown as ContainerRecord);
    await load.look(0);
    for (let n = 0; n < 3; n++) {
      for (const [path, s] of Object.entries(work)) outside.set(path, (outside.get(path) ?? 0) + s * 1000);
      await passes({ 1: 9 });
    }
    expect(told()).to.deep.equal([
      "Others than its containers take 90 % of a CPU from CPUs 1-2 of claim ns/claim-a; cgroups outside of pods that work now: /system.slice/batch.service (90 %), /user.slice/unknown (20 %)",
    ]);
  });

  it("is none of what the claim's containers do themselves, whichever claims they share", async () => {
    holds("a", "1");
    holds("b", "2");
    runs("c", "a", "b");
    runs("d", "b");
    await load.look(0);
    for (let n = 0; n < 4; n++) await passes({ 1: 10, 2: 10 }, { c: 15, d: 5 });
    expect(told()).to.deep.equal([]);
    for (let n = 0; n < 3; n++) await passes({ 1: 10, 2: 10 }, { c: 10, d: 5 });
    expect(told()).to.deep.equal([
      "Others than its containers take 50 % of a CPU from CPUs 1-2 of claim ns/claim-a and ns/claim-b",
    ]);
  });

  it("is not guessed where containers come and go, or the kernel does not say what one used", async () => {
    holds("a", "1");
    await load.look(0);
    for (let n = 0; n < 6; n++) {
      // Each restart takes with it what the one before has used.
      node.containers.clear();
      runs(`c${n}`, "a");
      await passes({ 1: 10 });
    }
    expect(told()).to.deep.equal([]);
    used.clear();
    for (let n = 0; n < 6; n++) await passes({ 1: 10 });
    expect(told()).to.deep.equal([]);
  });

  it("of a claim without containers is all that runs there; partitions, and a limit of 0, are not looked at", async () => {
    holds("a", "1");
    await load.look(0);
    for (let n = 0; n < 3; n++) await passes({ 1: 5 });
    expect(told()).to.have.length(1);
    node.allocations.clear();
    await passes({ 1: 5 });
    expect(told(), "the claim is gone").to.deep.equal([]);
    const asked = (): Promise<never> => Promise.reject(new Error("asked"));
    const never = { busyMs: asked, usedMs: () => Promise.resolve(undefined), outsideMs: asked };
    holds("a", "1");
    await new ForeignLoad(node, never, kernel, 0).look(0);
    const byPartitions = new NodeKnowledge({ force: "kernel", masks: "file", why: "" });
    byPartitions.synchronized = true;
    byPartitions.allocations.set("a", claim("a", "1"));
    await new ForeignLoad(byPartitions, never, kernel, 0.2).look(0);
  });
});
