import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { FakeWorld } from "../../bench/fakeworld.ts";
import { allocatedClaim } from "../../kit/driver.ts";
import { container, pod } from "../../kit/enforcer.ts";
import { uidOf } from "../../kit/driverworld.ts";
import { until } from "../../kit/node/processes.ts";
import { bundles, type Bundles } from "../programs.ts";
import { FIXTURE, olderBundles } from "./older.ts";

type Program = keyof Bundles;
type Version = "older" | "this";

const OLDER = readFileSync(join(FIXTURE, "commit.txt"), "utf8").trim();

for (const [first, second] of [
  ["driver", "agent"],
  ["agent", "driver"],
] as const) {
  describe(`an older version (${OLDER}) and this one, the ${first} upgraded first`, function () {
    this.timeout(240_000);
    const dir = mkdtempSync(join(tmpdir(), "sk-"));
    const paths: Bundles = { driver: join(dir, "driver.mjs"), agent: join(dir, "agent.mjs") };
    let programs: Record<Version, Bundles>;
    let world: FakeWorld;
    let cpus: string;
    const mine = container("pu", "mine", {
      cdi: [`dra.k8s.io/cpu=claim-${uidOf("mine")}-cpus`],
      env: [`DRA_CPUSET_${uidOf("mine")}=0`],
      gate: true,
    });
    const shared = container("p", "s");

    const put = (which: Program, version: Version): void => {
      rmSync(paths[which], { force: true });
      symlinkSync(programs[version][which], paths[which]);
    };
    const claimed = (name: string, count: number): { namespace: string; name: string; uid: string } => {
      const { claim } = allocatedClaim(name, count);
      const metadata = { ...claim.metadata, uid: uidOf(name) };
      const reservedFor = [{ resource: "pods", name: "pu", uid: "pu" }];
      world.api.claims.set(`default/${name}`, { metadata, status: { ...claim.status, reservedFor } });
      return { namespace: "default", name, uid: uidOf(name) };
    };
    const prepared = async (name: string, count: number): Promise<void> => {
      expect((await world.kubelet.prepare(claimed(name, count))).error).to.equal("");
    };
    /** Starts a program, and what the other side of its sockets does then. */
    const start = async (which: Program): Promise<void> => {
      if (which === "driver") {
        world.driver.start();
        await world.kubelet.register();
      } else {
        const plugin = world.runtime.plugin();
        world.agent.start();
        await plugin;
        const all = cpus === undefined ? [shared] : [shared, mine];
        await world.runtime.synchronize([pod("p"), pod("pu")], all);
        await world.agent.synchronized();
      }
    };
    const change = async (which: Program, version: Version): Promise<void> => {
      await world[which].daemon?.stop();
      put(which, version);
      await start(which);
      await until("both agree", async () => (await world.agent.state()).truth === 3, 20_000);
    };
    /** The claim has what it had, the runtime is told so, others come and go, nothing was set aside. */
    const holds = async (): Promise<void> => {
      await prepared("mine", 3);
      const shares = async (): Promise<string[] | undefined> =>
        (await world.agent.state()).allocations
          .find((one) => one.claim?.name === "mine")
          ?.shares.map((one) => one.cpus);
      // A state that was asked for just before is told again.
      expect(await until("the agent shows the claim", shares, 2000)).to.deep.equal([cpus]);
      const again = container("pu", "again", {
        cdi: mine.CDIDevices.map((one) => one.name),
        env: mine.env,
        gate: true,
      });
      expect((await world.runtime.create(pod("pu"), again)).adjust?.linux?.resources?.cpu?.cpus).to.equal(cpus);
      await world.runtime.event("RemoveContainer", pod("pu"), again);
      const other = await world.runtime.create(pod("p"), container("p", "other"));
      const its = CpuSet.parse(other.adjust?.linux?.resources?.cpu?.cpus ?? "");
      expect(its.isEmpty || its.overlaps(CpuSet.parse(cpus))).to.equal(false);
      await prepared("guest", 2);
      await until("both are held", async () => CpuSet.parse((await world.agent.state()).pool?.held ?? "").size === 5);
      expect(await world.kubelet.unprepare(claimed("guest", 2))).to.equal("");
      await until("the guest is gone", async () => (await world.agent.state()).pool?.held === cpus);
      for (const which of ["driver", "agent"] as const)
        expect(readFileSync(world[which].daemon?.log ?? "", "utf8"), which).to.not.match(/set aside|this is a defect/);
    };

    before(async () => {
      programs = { older: olderBundles(), this: await bundles() };
      for (const which of ["driver", "agent"] as const) put(which, "older");
      world = new FakeWorld({ driver: [process.execPath, paths.driver], agent: [process.execPath, paths.agent] });
      await world.listen();
      world.cgroups.add([shared]);
      await Promise.all([start("agent"), start("driver")]);
      await prepared("mine", 3);
      const { adjust } = await world.runtime.create(pod("pu"), mine);
      world.cgroups.add([mine]);
      const given = adjust?.linux?.resources?.cpu?.cpus ?? "";
      world.cgroups.set("mine", given);
      await world.runtime.event("StartContainer", pod("pu"), mine);
      await world.runtime.event("PostStartContainer", pod("pu"), mine);
      cpus = given;
    });
    after(async () => {
      await world.end();
      rmSync(dir, { recursive: true, force: true });
    });

    it("the older one works alone", holds);
    it(`works with the ${first} of this version, which reads what the older one wrote`, async () => {
      await change(first, "this");
      await holds();
    });
    it("works when both are of this version", async () => {
      await change(second, "this");
      await holds();
    });
    it(`works with the ${first} downgraded, which reads what this version wrote`, async () => {
      await change(first, "older");
      await holds();
    });
    it("works when both are downgraded", async () => {
      await change(second, "older");
      await holds();
    });
    it("works when both are upgraded again at once, and lets go of the claim at its end", async () => {
      for (const which of ["driver", "agent"] as const) await world[which].daemon?.stop();
      for (const which of ["driver", "agent"] as const) put(which, "this");
      await Promise.all([start("agent"), start("driver")]);
      await holds();
      rmSync(join(world.cgroups.root, "cpuset/kubepods/pu/mine"), { recursive: true });
      await world.runtime.stop(pod("pu"), mine);
      await world.runtime.event("RemoveContainer", pod("pu"), mine);
      expect(await world.kubelet.unprepare(claimed("mine", 3))).to.equal("");
      await until("nothing is held", async () => (await world.agent.state()).pool?.held === "");
      expect(existsSync(join(world.dir, "cdi", `dra.k8s.io-cpu_claim-${uidOf("mine")}.json`))).to.equal(false);
    });
  });
}
