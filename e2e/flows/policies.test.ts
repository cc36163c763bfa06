import { readFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { cdiFileName, readCdi } from "@dracpu/driver/cdi/spec.ts";
import type { AllocationConfig } from "@dracpu/driver/claims/resourceclaim.ts";
import type { PrepareOutcome } from "@dracpu/driver/prepare/ports.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import { expect } from "chai";
import { twoSockets } from "../../driver/test/topology/machines.ts";
import { DriverWorld, uidOf } from "../kit/driverworld.ts";
import { container, pod, TestAgent } from "../kit/enforcer.ts";

const NUMA0 = CpuSet.parse("1-3,8-11");
const NUMA1 = CpuSet.parse("4-7,12-15");
const grouped = {
  candidates: new Map([
    ["cpudevnuma000", NUMA0],
    ["cpudevnuma001", NUMA1],
  ]),
};
const individual = {
  candidates: new Map([...NUMA0.union(NUMA1)].map((cpu) => [`cpudev${String(cpu).padStart(3, "0")}`, CpuSet.of(cpu)])),
  offered: [...NUMA0.union(NUMA1)].map((cpu) => `cpudev${String(cpu).padStart(3, "0")}`),
};
const says = (fields: object): AllocationConfig => ({
  source: "FromClaim",
  opaque: { driver: "dra.cpu", parameters: { apiVersion: "dra.cpu/v1alpha1", kind: "CPUParameters", ...fields } },
});
const message = (outcome: PrepareOutcome | undefined): string =>
  outcome?.kind === "refused" ? outcome.message : "prepared";
const A = uidOf("a");
/** The pod that the claims of these tests are reserved for. */
const P = pod("pu");
const cdi = (uid: string): { cdi: string[]; gate: true } => ({ cdi: [`dra.k8s.io/cpu=claim-${uid}-cpus`], gate: true });

async function starts(agent: TestAgent, podUid: string, id: string, more: object = {}): Promise<string> {
  const { hooks } = agent.enforcer;
  const one = container(podUid, id, more);
  const reply = hooks.createContainer(pod(podUid), one);
  const cpus = reply.adjust?.linux?.resources?.cpu?.cpus ?? "";
  agent.cgroup.add(`/kubepods/${podUid}`, "0-15");
  agent.cgroup.add(`/kubepods/${podUid}/${id}`, cpus === "" ? "0-15" : cpus);
  await hooks.startContainer(pod(podUid), one);
  hooks.postStartContainer(pod(podUid), one);
  return cpus;
}
const refused = (start: Promise<string>): Promise<string> =>
  start.then(
    (cpus) => `started on ${cpus}`,
    (cause: unknown) => (cause as Error).message,
  );

for (const force of ["file", "kernel"] as const) {
  describe(`policies of claims, ${force} lever`, () => {
    let world: DriverWorld;
    beforeEach(async () => {
      world = new DriverWorld(twoSockets(), grouped);
      await world.serve(new TestAgent(undefined, force));
    });
    afterEach(() => world.end());
    const on = (name: string, device: string, cpus: string, ...config: AllocationConfig[]): void =>
      world.allocate(name, [{ device, consumedCapacity: { "dra.cpu/cpu": cpus } }], config);
    const spec = (uid: string): string => readFileSync(join(world.dir, "cdi", cdiFileName(uid)), "utf8");
    const remembered = (uid: string): AllocationRecord | undefined => {
      const reading = readCdi(uid, spec(uid));
      return reading.kind === "ours" ? reading.allocation : undefined;
    };

    it("keeps one thread a core running and its sibling idle, in every record and every mask", async () => {
      const other = await starts(world.agent, "other", "shared");
      expect(other, "nobody has told yet which machine this is").to.equal("");
      on("a", "cpudevnuma001", "4", says({ cores: "isolated" }));
      expect(message(await world.prepare("a"))).to.equal("prepared");
      const loaded = await world.file.load();
      const entry = loaded.kind === "memory" ? loaded.memory.entries[0] : undefined;
      expect([entry?.shares[0]?.cpus.toString(), entry?.idle.toString()]).to.deep.equal(["4-5", "12-13"]);
      expect(spec(A)).to.include(`"DRA_CPUSET_${A}=4-5"`);
      expect(remembered(A)?.idle.toString()).to.equal("12-13");
      expect(world.held()).to.equal("4-5,12-13");
      // The kernel takes 4-5 when the container starts; no kernel lever takes idle CPUs.
      const shared = force === "kernel" ? "0-11,14-15" : "0-3,6-11,14-15";
      expect(world.agent.cgroup.cpusOf("/kubepods/other/shared"), "when Prepare was answered").to.equal(shared);
      expect(await starts(world.agent, "pu", "main", cdi(A))).to.equal("4-5");
      expect(await starts(world.agent, "other", "next")).to.equal(shared);
      expect(world.agent.cgroup.partitions.get("/kubepods/pu/main")).to.equal(force === "kernel" ? "root" : undefined);
      expect(message(await world.prepare("a")), "once more, as charged").to.equal("prepared");
    });

    it("is not prepared while somebody cannot be moved off the idle sibling", async () => {
      await starts(world.agent, "other", "shared");
      world.agent.cgroup.stuck = "/kubepods/other/shared";
      on("a", "cpudevnuma001", "2", says({ cores: "isolated" }));
      expect(message(await world.prepare("a", AbortSignal.timeout(300)))).to.include(
        "its CPUs 4,12 are reserved, but not yet its own alone",
      );
      world.agent.cgroup.stuck = "";
      expect(message(await world.prepare("a"))).to.equal("prepared");
      world.agent.cgroup.stuck = "/kubepods/other/shared";
      on("b", "cpudevnuma001", "2");
      const whole = message(await world.prepare("b", AbortSignal.timeout(300)));
      expect(whole === "prepared", "the kernel takes running CPUs from whoever is on them").to.equal(
        force === "kernel",
      );
    });

    it("takes isolated CPUs by the kernel lever, or refuses at once", async () => {
      on("a", "cpudevnuma001", "2", says({ isolation: "isolated" }));
      const answer = message(await world.prepare("a"));
      if (force === "file") {
        expect(answer).to.equal(
          "dra.cpu: Cannot prepare claim default/a on CPUs 4,12: it asks for isolated CPUs (no load balancing), which only the kernel lever gives, and that is not in force here: test [DRACPU-204]",
        );
        return;
      }
      expect(answer).to.equal("prepared");
      const loaded = await world.file.load();
      expect(loaded.kind === "memory" && loaded.memory.entries[0]?.isolated).to.equal(true);
      expect(remembered(A)?.isolated).to.equal(true);
      expect(await starts(world.agent, "pu", "main", cdi(A))).to.equal("4,12");
      expect(world.agent.cgroup.partitions.get("/kubepods/pu/main")).to.equal("isolated");
    });
  });
}

describe("isolated CPUs, where the kernel gives no partition", () => {
  let world: DriverWorld;
  beforeEach(async () => {
    world = new DriverWorld(twoSockets(), grouped);
    await world.serve(new TestAgent(undefined, "kernel"));
    world.allocate(
      "a",
      [{ device: "cpudevnuma001", consumedCapacity: { "dra.cpu/cpu": "2" } }],
      [says({ isolation: "isolated" })],
    );
    await world.prepare("a");
  });
  afterEach(() => world.end());
  const partitions = (): Record<string, string> => Object.fromEntries(world.agent.cgroup.partitions);

  it("start nothing", async () => {
    world.agent.cgroup.invalid = "Cpu list in cpuset.cpus not exclusive";
    expect(await refused(starts(world.agent, "pu", "main", cdi(A)))).to.include(
      "its claim asks for isolated CPUs, which only a cpuset partition gives: Cpu list in cpuset.cpus not exclusive",
    );
  });
  it("start no second container beside a shared one, and leave the first its partition", async () => {
    await starts(world.agent, "pu", "side");
    await starts(world.agent, "pu", "main", cdi(A));
    expect(await refused(starts(world.agent, "pu", "second", cdi(A)))).to.include(
      "use the same isolated CPUs, which makes the whole pod one cpuset partition, and side has none",
    );
    expect(partitions()).to.deep.equal({ "/kubepods/pu/main": "isolated" });
  });
  it("start no shared container in a pod that is their partition", async () => {
    await starts(world.agent, "pu", "main", cdi(A));
    await starts(world.agent, "pu", "second", cdi(A));
    expect(partitions()["/kubepods/pu"]).to.equal("isolated");
    expect(world.agent.cgroup.cpusOf("/kubepods/pu"), "a mask of the pod could not be taken back").to.equal("0-15");
    expect(await refused(starts(world.agent, "pu", "side"))).to.include(
      "use the same isolated CPUs, which makes the whole pod one cpuset partition, and side has none",
    );
    expect(partitions()["/kubepods/pu"]).to.equal("isolated");
  });
  it("are held by masks for who runs already, and that is said", async () => {
    await starts(world.agent, "other", "shared");
    world.agent.cgroup.add("/kubepods/pu/main", "4,12");
    world.agent.cgroup.invalid = "Cpu list in cpuset.cpus not exclusive";
    await world.agent.enforcer.hooks.synchronize(
      [P, pod("other")],
      [container("pu", "main", { ...cdi(A), gate: false }), container("other", "shared")],
    );
    expect(world.agent.cgroup.cpusOf("/kubepods/other/shared")).to.equal("0-3,5-11,13-15");
    expect(world.agent.events().join("\n")).to.include("isolated no longer (Cpu list in cpuset.cpus not exclusive)");
  });
});

describe("CPUs that somebody else has chosen", () => {
  let world: DriverWorld;
  afterEach(() => world.end());

  it("are given exactly, and their holder is named while they are not free", async () => {
    const machine = { candidates: new Map([["cpudevmachine", CpuSet.parse("1-7,9-15")]]) };
    world = new DriverWorld(twoSockets(), { ...machine, keepShared: CpuSet.parse("0,8") });
    await world.serve();
    const slurm = (cpuset: string): AllocationConfig => ({
      source: "FromClaim",
      requests: ["cpus"],
      opaque: { driver: "dra.cpu", parameters: { apiVersion: "v1alpha1", cpuConfig: { cpuset } } },
    });
    const ask = (name: string, count: number, cpuset: string): void =>
      world.allocate(
        name,
        [{ device: "cpudevmachine", consumedCapacity: { "dra.cpu/cpu": String(count) } }],
        [slurm(cpuset)],
      );
    ask("a", 4, "2-5");
    expect(message(await world.prepare("a"))).to.equal("prepared");
    expect(world.held()).to.equal("2-5");
    ask("b", 2, "5-6");
    expect(message(await world.prepare("b", AbortSignal.timeout(200)))).to.equal(
      "dra.cpu: Cannot prepare claim default/b: request cpus: CPUs 5 of its cpuset 5-6 are not free. CPUs are held by default/a (CPUs 2-5). They did not come free within 40 s; the kubelet tries again [DRACPU-202]",
    );
    ask("c", 3, "6,8");
    const began = performance.now();
    expect(message(await world.prepare("c"))).to.equal(
      "dra.cpu: Cannot prepare claim default/c: request cpus: its cpuset 6,8 has 2 CPUs, and its capacity is 3; make both the same; CPUs 8 of its cpuset 6,8 are kept for the shared pool [DRACPU-201]",
    );
    expect(performance.now() - began, "no release would help, so it does not wait").to.be.below(2000);
    const waiting = world.prepare("b");
    await world.unprepare("a");
    expect(message(await waiting)).to.equal("prepared");
  });

  it("are one device each in individual mode: one CDI id and one union for a request", async () => {
    world = new DriverWorld(twoSockets(), individual);
    await world.serve();
    world.allocate(
      "a",
      NUMA1.toArray().map((cpu) => ({ device: `cpudev${String(cpu).padStart(3, "0")}` })),
    );
    const outcome = await world.prepare("a");
    const devices = outcome?.kind === "prepared" ? outcome.devices : [];
    expect(devices.map((one) => one.device))
      .to.have.length(8)
      .and.include("cpudev015");
    expect(devices.flatMap((one) => one.cdiDeviceIds)).to.deep.equal([`dra.k8s.io/cpu=claim-${A}-cpus`]);
    const text = readFileSync(join(world.dir, "cdi", cdiFileName(A)), "utf8");
    expect(text).to.include(`"DRA_CPUSET_${A}=4-7,12-15"`).and.include(`"DRA_CPUSHARE_${A}_cpus=4-7,12-15"`);
    expect(await starts(world.agent, "pu", "main", cdi(A))).to.equal("4-7,12-15");
    const { allocations } = world.agent.enforcer.state(create(GetStateRequestSchema));
    expect(allocations[0]?.shares.map((share) => share.cpus).join()).to.equal("4,5,6,7,12,13,14,15");
  });

  it("stay theirs through a change of the node's devices, and new claims on old names are refused", async () => {
    world = new DriverWorld(twoSockets(), grouped);
    await world.serve();
    for (const name of ["a", "b"])
      world.allocate(name, [{ device: "cpudevnuma001", consumedCapacity: { "dra.cpu/cpu": "2" } }]);
    const first = await world.prepare("a");
    world.offer = { ...world.offer, ...individual };
    expect(await world.prepare("a")).to.deep.equal(first);
    expect(message(await world.prepare("b"))).to.include(
      "this node offers no device cpudevnuma001 (it offers cpudev001,",
    );
    world.allocate("c", [{ device: "cpudev004" }]);
    expect(message(await world.prepare("c", AbortSignal.timeout(200)))).to.include(
      "the scheduler has chosen CPUs 4, which are not free yet. CPUs are held by default/a (CPUs 4,12)",
    );
  });
});
