import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { AllocationRecord } from "@dracpu/shared-proto/contract/records.ts";
import { holdBare, nameBare } from "@dracpu/driver/prepare/adoption.ts";
import { CdiKeeper } from "@dracpu/driver/prepare/cdikeeper.ts";
import type { ResourceClaim } from "@dracpu/driver/claims/resourceclaim.ts";
import { collectGone, finishPreparing } from "@dracpu/driver/prepare/recovery.ts";
import { Reservations } from "@dracpu/driver/prepare/reservations.ts";
import type { CdiPort, PrepareOutcome } from "@dracpu/driver/prepare/ports.ts";
import { expect } from "chai";
import { DriverWorld, uidOf } from "../kit/driverworld.ts";
import { container, pod } from "../kit/enforcer.ts";
import { until } from "../kit/node/processes.ts";

describe("the driver keeps what it promised", () => {
  let world: DriverWorld;
  const silent = { info: () => {}, warn: () => {}, error: () => {} };
  beforeEach(async () => {
    world = new DriverWorld();
    await world.serve();
  });
  afterEach(() => world.end());
  const message = (outcome: PrepareOutcome | undefined): string =>
    outcome?.kind === "refused" ? outcome.message : "prepared";
  const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
  const away = (isTransient: boolean, text: string): Error => Object.assign(new Error(text), { isTransient });
  /** A container of the claim that runs on its CPUs, as the runtime lists it. */
  const lives = async (name: string, cpus: string): Promise<void> => {
    world.agent.cgroup.add("/kubepods/pu/c", cpus);
    const cdi = [`dra.k8s.io/cpu=claim-${uidOf(name)}-cpus`];
    await world.agent.connect([pod("pu")], [container("pu", "c", { cdi, env: [`DRA_CPUSET_${uidOf(name)}=${cpus}`] })]);
  };

  it("releases a claim that is gone at a second look only, goes on past one that cannot be asked for", async () => {
    for (const name of ["a", "b"]) world.claim(name, "1");
    for (const name of ["a", "b"]) expect(message(await world.prepare(name))).to.equal("prepared");
    const looks = { firstMs: 1, againMs: 300, everyMs: 60_000 };
    world.reads.length = 0;
    const b = world.claims.get("b");
    world.claims.delete("b");
    const get = world.recovery.reader.get.bind(world.recovery.reader);
    const reader = {
      ...world.recovery.reader,
      get: (namespace: string, name: string, signal: AbortSignal) =>
        name === "a" ? Promise.reject(away(true, "not now")) : get(namespace, name, signal),
    };
    const seen: string[] = [];
    const onSeen = ({ metadata }: ResourceClaim): unknown => seen.push(metadata.name);
    void collectGone({ ...world.recovery, reader }, onSeen, world.stop.signal, looks);
    await until("it has looked at b once", () => world.reads.includes("b"), 3000, 5);
    world.claims.set("b", b as never);
    await until("it has looked at b twice", () => world.reads.filter((one) => one === "b").length === 2, 3000, 5);
    await sleep(50);
    expect(world.ledger.entries().map((one) => [one.claim.name, one.phase])).to.deep.equal([
      ["a", "prepared"],
      ["b", "prepared"],
    ]);
    world.claims.delete("b");
    void collectGone(world.recovery, onSeen, world.stop.signal, looks);
    await until("b is released", () => world.ledger.get(uidOf("b")) === undefined, 5000, 10);
    expect(world.ledger.get(uidOf("a"))?.phase).to.equal("prepared");
    expect(seen, "told of those that are there").to.include("a");
  });

  it("releases a claim that is allocated here no more, at a second look only", async () => {
    const names = ["freed", "moved", "others", "stays", "bare"];
    for (const name of names) world.claim(name, "1");
    for (const name of names) expect(message(await world.prepare(name))).to.equal("prepared");
    const bare = world.ledger.get(uidOf("bare"));
    if (bare === undefined) throw new Error("no entry");
    world.ledger.put({ ...bare, shares: bare.shares.map((share) => ({ ...share, pool: "" })) });
    const { metadata } = world.claims.get("freed") as ResourceClaim;
    world.claims.set("freed", { metadata, status: {} });
    world.claims.set("bare", { metadata: bare.claim, status: {} });
    world.allocate("moved", [{ device: "cpudevnuma000", pool: "another" }]);
    world.allocate("others", [{ device: "cpudevnuma000", driver: "another" }]);
    world.reads.length = 0;
    const seen: string[] = [];
    const looks = { firstMs: 1, againMs: 600, everyMs: 60_000 };
    void collectGone(world.recovery, (one) => seen.push(one.metadata.name), world.stop.signal, looks);
    await until("it has looked at all once", () => world.reads.length === names.length, 5000, 5);
    await sleep(300);
    expect(world.ledger.entries().map((one) => one.phase)).to.deep.equal(names.map(() => "prepared"));
    await until("they are released", () => world.ledger.entries().length <= 2, 5000, 10);
    await sleep(300);
    expect(world.ledger.entries().map((one) => [one.claim.name, one.phase])).to.deep.equal([
      ["stays", "prepared"],
      ["bare", "prepared"],
    ]);
    expect(seen, "only those that are here").to.deep.equal(["stays", "bare"]);
  });

  it("writes a CDI file again that vanished, also of the claim that was prepared last", async () => {
    world.claim("a", "2");
    await world.prepare("a");
    const entry = world.ledger.get(uidOf("a"));
    // As a restart finds it: the flip to `prepared` is not worth a checkpoint.
    if (entry !== undefined) world.ledger.put({ ...entry, phase: "preparing" });
    rmSync(join(world.dir, "cdi"), { recursive: true });
    void new CdiKeeper(world.recovery).run(world.stop.signal, 20);
    await finishPreparing(world.recovery, world.stop.signal);
    expect(await world.cdi.list()).to.deep.equal([uidOf("a")]);
    expect(world.ledger.get(uidOf("a"))?.phase).to.equal("prepared");
  });

  it("tells of a CDI file that belongs to nobody, until it is gone", async () => {
    world.claim("a", "2");
    await world.prepare("a");
    const [own = ""] = readdirSync(join(world.dir, "cdi"));
    const strange = join(world.dir, "cdi", own.replace(uidOf("a"), uidOf("b")));
    const keeper = new CdiKeeper(world.recovery);
    void keeper.run(world.stop.signal, 20);
    await sleep(100);
    expect(keeper.findings()).to.deep.equal([]);
    writeFileSync(strange, readFileSync(join(world.dir, "cdi", own)));
    await until("it is told of", () => keeper.findings().length > 0, 3000, 10);
    expect(keeper.findings()[0]?.text).to.include(uidOf("b"));
    rmSync(strange);
    await until("it is no more", () => keeper.findings().length === 0, 3000, 10);
  });

  it("outlives a CDI directory that cannot be listed", async () => {
    world.claim("a", "1");
    await world.prepare("a");
    const entry = world.ledger.get(uidOf("a"));
    if (entry !== undefined) world.ledger.put({ ...entry, phase: "preparing" });
    rmSync(join(world.dir, "cdi"), { recursive: true });
    writeFileSync(join(world.dir, "cdi"), "");
    const kept = new CdiKeeper(world.recovery).run(world.stop.signal, 20);
    const finished = finishPreparing(world.recovery, world.stop.signal);
    await sleep(100);
    rmSync(join(world.dir, "cdi"));
    mkdirSync(join(world.dir, "cdi"));
    await finished;
    expect(await world.cdi.list()).to.deep.equal([uidOf("a")]);
    world.stop.abort();
    await kept;
  });

  it("follows the agent where containers run on other CPUs, and lets one bad entry keep nobody else from it", async () => {
    world.claim("run", "3");
    expect(message(await world.prepare("run"))).to.equal("prepared");
    await lives("run", "1-3");
    const entry = world.ledger.get(uidOf("run"));
    if (entry === undefined) throw new Error("no entry");
    // A ledger that lost its memory and chose anew.
    const [share] = entry.shares;
    world.ledger.put({ ...entry, shares: share === undefined ? [] : [{ ...share, cpus: CpuSet.parse("5-7") }] });
    await world.recovery.link.push(AbortSignal.timeout(3000));
    world.claim("other", "1");
    expect(message(await world.prepare("other"))).to.equal("prepared");
    expect(world.ledger.get(uidOf("run"))?.shares[0]?.cpus.toString()).to.equal("1-3");
    expect(message(await world.prepare("run"))).to.equal("prepared");
    expect(CpuSet.parse(world.held()).intersect(CpuSet.parse("1-3")).toString()).to.equal("1-3");
    await until(
      "its file follows",
      async () =>
        (await world.cdi.remembered()).allocations.some(
          (one) => one.claim.name === "run" && one.shares[0]?.cpus.toString() === "1-3",
        ),
      3000,
      20,
    );
  });

  it("goes on with the others where the agent can never take a claim", async () => {
    world.claim("bad", "1");
    const long = "x".repeat(300);
    world.claims.set("bad", {
      ...world.claims.get("bad"),
      metadata: { name: "bad", namespace: long, uid: uidOf("bad") },
    });
    const bad = world.prepare("bad", AbortSignal.timeout(1500));
    await sleep(100);
    world.claim("good", "1");
    expect(message(await world.prepare("good"))).to.equal("prepared");
    expect(message(await bad)).to.include("longer than 253 characters");
  });

  it("waits for the release of the same claim inside the call", async () => {
    world.claim("a", "2");
    await world.prepare("a");
    await lives("a", "1-2");
    await world.unprepare("a");
    const refused = message(await world.prepare("a", AbortSignal.timeout(300)));
    expect(refused).to.include("still being released on this node").and.include("1-2");
    const again = world.prepare("a");
    await sleep(100);
    world.agent.cgroup.groups.delete("/kubepods/pu/c");
    await world.agent.connect();
    expect(message(await again)).to.equal("prepared");
  });

  it("answers admin access without CPUs, file or ledger", async () => {
    world.allocate("admin", [{ device: "cpudevnuma000", adminAccess: true }]);
    expect(await world.prepare("admin")).to.deep.equal({
      kind: "prepared",
      devices: [{ requestNames: ["cpus"], pool: "n", device: "cpudevnuma000", cdiDeviceIds: [], shareId: undefined }],
    });
    expect(world.ledger.entries()).to.deep.equal([]);
    expect(await world.cdi.list()).to.deep.equal([]);
    expect(await world.unprepare("admin")).to.deep.equal({ kind: "done" });
  });

  it("answers a prepared claim as it was while the API server is away, and says of others what is wrong", async () => {
    world.claim("a", "2");
    const first = await world.prepare("a");
    world.readFails = away(true, "the API server (https://api) does not answer (ECONNREFUSED)");
    expect(await world.prepare("a")).to.deep.equal(first);
    world.claim("b", "1");
    expect(message(await world.prepare("b"))).to.equal(
      "dra.cpu: Cannot prepare claim default/b: the API server (https://api) does not answer (ECONNREFUSED); the kubelet tries again [DRACPU-205]",
    );
    world.readFails = away(false, "the API server (https://api) answers 403");
    expect(message(await world.prepare("a"))).to.include("answers 403");
  });

  it("holds the CPUs of the reference driver's claims, finds their names, and gives them the gate", async () => {
    const uid = uidOf("ref");
    holdBare(world.ledger, [{ uid, cpus: CpuSet.parse("1-2") }], silent);
    world.claim("all", "7");
    expect(message(await world.prepare("all", AbortSignal.timeout(300)))).to.include("5 are free");
    await new CdiKeeper(world.recovery).run(AbortSignal.timeout(50), 20);
    expect(await world.cdi.list(), "no gate before its pods are known").to.deep.equal([]);
    world.claim("ref", "2");
    await nameBare(world.recovery, world.stop.signal, 20);
    expect(world.ledger.get(uid)).to.deep.include({ claim: { uid, namespace: "default", name: "ref" } });
    expect(world.ledger.get(uid)?.consumers.map((one) => one.uid)).to.deep.equal(["pu"]);
    expect(await world.cdi.list()).to.deep.equal([uid]);
    const outcome = await world.prepare("ref");
    expect(outcome?.kind === "prepared" && outcome.devices[0]?.cdiDeviceIds).to.deep.equal([
      `dra.k8s.io/cpu=claim-${uid}`,
    ]);
    holdBare(world.ledger, [{ uid: uidOf("gone"), cpus: CpuSet.parse("6") }], silent);
    await nameBare(world.recovery, world.stop.signal, 20);
    await until(
      "a claim that is on no list is released",
      () => world.ledger.get(uidOf("gone")) === undefined,
      3000,
      10,
    );
  });

  it("gives a reference driver's claim the gate, whenever its file could not be written, and keeps no other from it", async () => {
    const uids = ["other", "ref"].map(uidOf);
    for (const [n, uid] of uids.entries()) holdBare(world.ledger, [{ uid, cpus: CpuSet.of(n + 1) }], silent);
    for (const name of ["ref", "other"]) world.claim(name, "1");
    const left: unknown[] = [];
    const write = async (one: AllocationRecord): Promise<void> => {
      if (left.length > 0 || one.claim.name !== "ref") return world.cdi.write(one);
      // As a driver finds it that starts after this one was killed here.
      const now = await world.file.load();
      left.push(now.kind === "memory" && now.memory.entries.map(({ claim }) => [claim.uid, claim.name]));
      throw new Error("the disk is full");
    };
    const cdi = Object.assign(Object.create(world.cdi) as CdiPort, { write });
    await nameBare({ ...world.recovery, cdi }, world.stop.signal, 20);
    expect((await world.cdi.list()).toSorted(), "the gates").to.deep.equal(uids.toSorted());
    expect(left, "held by the checkpoint, and without a name").to.deep.equal([uids.map((uid) => [uid, ""])]);
  });

  it("reads a reservation once, however often it is asked to", async () => {
    world.claim("a", "1");
    await world.prepare("a");
    world.reads.length = 0;
    const reservations = new Reservations(world.recovery);
    for (let n = 0; n < 20; n++) reservations.readAgain(uidOf("a"), world.stop.signal);
    await until("it is read", () => world.reads.length > 0, 2000, 5);
    await sleep(50);
    expect(world.reads).to.deep.equal(["a"]);
  });

  it("drains a claim whose CDI file cannot be removed, and removes it later", async () => {
    world.claim("a", "1");
    await world.prepare("a");
    const file = join(world.dir, "cdi", `dra.k8s.io-cpu_claim-${uidOf("a")}.json`);
    rmSync(file);
    mkdirSync(file);
    expect(await world.unprepare("a")).to.have.property("kind", "failed");
    expect(world.ledger.get(uidOf("a"))?.phase).to.equal("draining");
    rmSync(file, { recursive: true });
    await until("it is drained", () => world.ledger.entries().length === 0, 5000, 10);
  });

  it("fails what is under way in words when it stops, and takes nothing new", async () => {
    world.claim("a", "7");
    world.claim("b", "1");
    await world.prepare("a");
    const waiting = world.prepare("b", new AbortController().signal);
    await sleep(50);
    const stopped = world.preparer.stop(100);
    await sleep(10);
    expect(message(await world.prepare("b2"))).to.include("the driver is stopping");
    expect(message(await waiting))
      .to.include("claim default/b")
      .and.include("the driver is stopping");
    await stopped;
  });
});
