import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { allowedOf, containerProcesses, pidsIn } from "./kernel.ts";
import { world } from "./suite.ts";
import { until } from "./world.ts";

describe("a real node, and a force-deleted pod whose container will not die", function () {
  this.timeout(240_000);
  const { node, pair } = world;

  // The kubelet unprepares a force-deleted pod when its loop that looks for such claims comes round, once a minute.
  it("gives its CPUs to nobody, unprepared or not, until no process of it lives", async () => {
    await world.createPod({ name: "zombie", template: "one" });
    await world.createPod({ name: "other" });
    await world.running("zombie");
    await world.running("other");
    const [zombie, other] = [await world.place("zombie"), await world.place("other")];
    const uid = await world.claimUid();
    const freezer = join("/sys/fs/cgroup/freezer", zombie.cgroup, "..");
    await freeze(freezer, "FROZEN");
    try {
      const unprepared = world.driverSays("end: unprepare", 100_000);
      const began = Date.now();
      await node.kubectl("delete", "pod", "zombie", "--force", "--grace-period=0", "--wait=false");
      await world.createPod({ name: "heir", template: "one" });
      expect(await unprepared).to.include(uid);
      console.log(`      unprepared ${((Date.now() - began) / 1000).toFixed(1)} s after the deletion`);
      await world.nothingRuns("heir", async () => {
        const others = new Set<string>();
        for (const end = Date.now() + 4000; Date.now() < end;) {
          for (const one of containerProcesses()) if (one.podUid !== zombie.podUid) others.add(one.allowed);
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        expect([...others]).to.deep.equal(["0"]);
      });
      expect(pidsIn(join("/sys/fs/cgroup/cpuset", zombie.cgroup))).to.include(zombie.pid);
      expect(allowedOf(zombie.pid)).to.equal("1");
      expect(world.cgroupFile(zombie, "cpuset", "cpuset.cpus")).to.equal("1");
      expect(await world.seenByRuntime(other)).to.deep.equal({ exec: "0", cgroup: "0" });
      const { pool } = await pair.state<{ pool: object }>();
      expect(pool).to.deep.include({ draining: "1", shared: "0" });
      expect((await world.status("heir")).status.phase).to.equal("Pending");
    } finally {
      await freeze(freezer, "THAWED");
    }
    await world.running("heir", 60_000);
    expect(await world.seen("heir")).to.deep.equal({ exec: "1", first: "1", cgroup: "1" });
  });
});

async function freeze(cgroup: string, state: "FROZEN" | "THAWED"): Promise<void> {
  if (!existsSync(cgroup)) return;
  for (const entry of readdirSync(cgroup, { withFileTypes: true })) {
    if (entry.isDirectory()) writeFileSync(join(cgroup, entry.name, "freezer.state"), state);
  }
  writeFileSync(join(cgroup, "freezer.state"), state);
  await until(`${cgroup} is ${state}`, () => readFileSync(join(cgroup, "freezer.state"), "utf8").trim() === state);
}
