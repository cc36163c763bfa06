import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { FakeWorld } from "../bench/fakeworld.ts";
import { allocatedClaim } from "../kit/driver.ts";
import { uidOf } from "../kit/driverworld.ts";
import { container, pod } from "../kit/enforcer.ts";
import type { ClaimReference } from "../kit/fakecluster/kubelet.ts";
import { until } from "../kit/node/processes.ts";
import { Seam } from "../kit/seam/seam.ts";
import { bundles } from "./programs.ts";
import { shipped } from "../../images/environment.ts";

const FULL = process.env["DRACPU_FULL"] !== undefined;
const FAULTS = [
  { errno: "ENOSPC", calls: ["write"], says: "the disk is full" },
  { errno: "EROFS", calls: ["open", "rename", "unlink", "mkdir"], says: "read-only" },
  { errno: "EIO", calls: ["fsync"], says: "input/output error" },
] as const;

// Both programs as processes; the calls on one directory of one of them fail for a while.
describe("a disk that fails", function () {
  this.timeout(120_000);
  const dir = mkdtempSync(join(tmpdir(), "fd-"));
  const seams = { driver: new Seam(join(dir, "driver")), agent: new Seam(join(dir, "agent")) };
  let world: FakeWorld;
  let pids: (number | undefined)[];
  let mine: ClaimReference;
  let cpus: string;
  let n = 0;

  const claimed = (count: number): ClaimReference => {
    n += 1;
    const name = `c${n}`;
    const { claim } = allocatedClaim(name, count);
    const metadata = { ...claim.metadata, uid: uidOf(name) };
    const reservedFor = [{ resource: "pods", name: "pu", uid: "pu" }];
    world.api.claims.set(`default/${name}`, { metadata, status: { ...claim.status, reservedFor } });
    return { namespace: "default", name, uid: uidOf(name) };
  };
  const error = async (claim: ClaimReference): Promise<string> => (await world.kubelet.prepare(claim)).error;
  const create = async (podUid: string, claim?: ClaimReference): Promise<string> => {
    n += 1;
    const more =
      claim === undefined
        ? {}
        : { cdi: [`dra.k8s.io/cpu=claim-${claim.uid}-cpus`], env: [`DRA_CPUSET_${claim.uid}=0`], gate: true };
    const one = container(podUid, `x${n}`, more);
    const { adjust } = await world.runtime.create(pod(podUid), one);
    await world.runtime.event("RemoveContainer", pod(podUid), one);
    return adjust?.linux?.resources?.cpu?.cpus ?? "";
  };
  /** Whoever has CPUs keeps them, and everybody else is kept off, by the hooks' answers. */
  const isEnforced = async (): Promise<void> => {
    expect(await create("pu", mine)).to.equal(cpus);
    expect(CpuSet.parse(await create("p")).overlaps(CpuSet.parse(cpus))).to.equal(false);
  };

  before(async () => {
    const programs = await bundles();
    world = new FakeWorld(
      { driver: shipped(programs.driver), agent: shipped(programs.agent) },
      { driver: seams.driver.env(), agent: seams.agent.env() },
    );
    await world.listen();
    const plugin = world.runtime.plugin();
    world.agent.start();
    world.driver.start();
    await plugin;
    await world.runtime.synchronize([], []);
    await world.kubelet.register();
    mine = claimed(3);
    expect(await error(mine)).to.equal("");
    cpus = await create("pu", mine);
    pids = [world.driver.daemon?.pid, world.agent.daemon?.pid];
  });
  after(async () => {
    await world.end();
    rmSync(dir, { recursive: true });
  });
  afterEach(() => {
    for (const seam of Object.values(seams)) seam.heal();
    expect([world.driver.daemon?.pid, world.agent.daemon?.pid], "no restart").to.deep.equal(pids);
    expect(world.driver.daemon?.isAlive() === true && world.agent.daemon?.isAlive() === true).to.equal(true);
  });

  for (const { errno, calls, says } of FAULTS) {
    it(`${errno} of the driver's state: new claims are refused in words, releases too, and both go on when it is over`, async () => {
      const leaving = claimed(1);
      expect(await error(leaving)).to.equal("");
      seams.driver.fail(errno, calls, join(world.dir, "driver"));
      const [first, second] = [claimed(2), claimed(2)];
      for (const one of [first, second])
        expect(await error(one))
          .to.include(says)
          .and.include(one.name);
      expect(await world.kubelet.unprepare(leaving)).to.include(says);
      await isEnforced();
      seams.driver.heal();
      for (const one of [first, second]) expect(await error(one)).to.equal("");
      const both = [await create("pu", first), await create("pu", second)].map((text) => CpuSet.parse(text));
      expect([...both, CpuSet.parse(cpus)].reduce((sum, one) => sum + one.size, 0)).to.equal(
        CpuSet.union([...both, CpuSet.parse(cpus)]).size,
      );
      for (const one of [first, second, leaving]) expect(await world.kubelet.unprepare(one)).to.equal("");
    });

    it(`${errno} of the CDI directory: new claims are refused in words, and prepared when it is over`, async () => {
      seams.driver.fail(errno, calls, join(world.memory, "cdi"));
      const one = claimed(2);
      expect(await error(one))
        .to.include(says)
        .and.include(one.name);
      await isEnforced();
      seams.driver.heal();
      expect(await error(one)).to.equal("");
      expect(await world.kubelet.unprepare(one)).to.equal("");
      await until("no file of it is left", () => readdirSync(join(world.memory, "cdi")).length === 1);
    });

    it(`${errno} of the agent's state: a Prepare waits inside its call and says why, hooks go on, and it succeeds when it is over`, async () => {
      const log = (): string => readFileSync(world.driver.daemon?.log ?? "", "utf8");
      const before = log().length;
      seams.agent.fail(errno, calls, join(world.dir, "agent"));
      const one = claimed(2);
      const waiting = error(one);
      if (FULL)
        expect(await waiting)
          .to.include(says)
          .and.include(one.name);
      else await until("the driver says why", () => log().slice(before).includes(says), 10_000);
      await isEnforced();
      seams.agent.heal();
      expect(FULL ? await error(one) : await waiting).to.equal("");
      expect(await world.kubelet.unprepare(one)).to.equal("");
    });
  }
});
