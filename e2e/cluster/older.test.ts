import { readFileSync } from "node:fs";
import { join } from "node:path";
import { VERSION } from "@dracpu/shared-proto/contract/version.ts";
import { expect } from "chai";
import { FIXTURE } from "../faults/skew/older.ts";
import { allowedOf } from "../node/kernel.ts";
import { claimTemplate } from "../node/objects.ts";
import { OLDER, writeOlderImages } from "./olderimages.ts";
import { world } from "./suite.ts";
import { RELEASE, REPOSITORY, until } from "./world.ts";

const COMMIT = readFileSync(join(FIXTURE, "commit.txt"), "utf8").trim();
const OWN = { exec: "1", first: "1", cgroup: "1" };

// The programs are the older version's; before the first release there is no older chart, so that today's runs both.
describe(`helm upgrade from an older version (${COMMIT}), and back`, function () {
  this.timeout(150_000);
  const { node } = world;
  let running = { claimed: 0, shared: 0 };

  before(async () => {
    const archive = join(node.dir, "older.tar");
    writeOlderImages(archive);
    await world.importImages(archive);
    await world.removeAll();
    await node.kubectl("delete", "resourceclaimtemplates", "--all");
    await node.apply(claimTemplate("one", "1"));
    await world.helm.install("--set", `image.tag=${OLDER}`);
    await world.ready();
    await world.twoPods();
    running = { claimed: (await world.place("claimed")).pid, shared: (await world.place("shared")).pid };
    expect(await world.seen("claimed")).to.deep.equal(OWN);
  });
  after(async () => {
    await world.removeAll();
    // The older version cleans no nodes.
    await world.helm.upgrade("--set", `image.tag=${VERSION}`);
    const claims = ["get", "resourceclaims", "-o", "name"];
    await until("claims are gone", async () => (await node.kubectl(...claims)) === "", 20_000, 200);
    await world.helm.run("uninstall", RELEASE, "--timeout=150s");
    await world.nothingIsLeft();
  });

  /** What ran before runs on where it was, and what is made anew gets its CPUs. */
  const holds = async (tag: string): Promise<void> => {
    await world.ready();
    for (const name of ["driver", "nri-agent"] as const)
      expect((await world.own(name)).image).to.equal(`${REPOSITORY}/${name}:${tag}`);
    expect([allowedOf(running.claimed), allowedOf(running.shared)], "masks").to.deep.equal(["1", "0"]);
    expect(await world.seen("claimed")).to.deep.equal(OWN);
    await world.createPod({ name: `beside-${tag}` });
    await world.running(`beside-${tag}`);
    expect((await world.seen(`beside-${tag}`)).exec).to.equal("0");
  };

  it("to this version: the pod that the older one prepared keeps its CPU, and its container may be restarted", async () => {
    await world.helm.upgrade("--set", `image.tag=${VERSION}`);
    await holds(VERSION);
    const { allocations = [], truth } = await world.state<{ truth: string; allocations?: readonly object[] }>();
    expect([allocations.length, truth]).to.deep.equal([1, "TRUTH_CONFIRMED"]);
    await world.killFirstProcess("claimed");
    running.claimed = await until(
      "it has another process",
      async () => {
        const { pid } = await world.place("claimed");
        return pid > 0 && pid;
      },
      60_000,
    );
    await world.running("claimed", 60_000);
    expect(await world.seen("claimed")).to.deep.equal(OWN);
  });

  it("back by helm rollback: likewise, and the older one releases what this one kept", async () => {
    await world.helm.run("rollback", RELEASE, "1", "--wait", "--timeout=90s");
    await holds(OLDER);
    await world.remove("claimed");
    await until("the CPU is back", async () => (await world.seen("shared")).exec === "0-1", 20_000);
  });
});
