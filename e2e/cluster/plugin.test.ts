import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";
import { world } from "./suite.ts";
import { NODE_NAME } from "./world.ts";

const PLUGIN = join(import.meta.dirname, "..", "..", "driver", "src", "kubectl", "main.ts");

describe("kubectl dracpu, against the real API server and through its port-forward", function () {
  this.timeout(120_000);
  const { node } = world;
  const plugin = (...args: string[]): Promise<string> =>
    node.run(process.execPath, [PLUGIN, "--kubeconfig", node.kubeconfig, ...args]);

  before(async () => {
    await world.removeAll();
    await world.createPod({ name: "claimed", template: "one" });
    await world.running("claimed");
  });
  after(() => world.removeAll());

  it("says from the API alone what nodes have and who holds CPUs", async () => {
    expect(await plugin("nodes")).to.match(new RegExp(`${NODE_NAME}.*1`));
    expect(await plugin("who")).to.match(/default\/claimed.*\b1\b/);
  });
  it("draws the node, finds a pod's node by itself, and says why its CPUs", async () => {
    expect(await plugin("map", NODE_NAME)).to.include("default/claimed");
    expect(await plugin("claims", "claimed")).to.include("default/claimed");
    expect(await plugin("explain", "claimed")).to.match(/CPUs? 1/);
    expect(await plugin("doctor", NODE_NAME)).to.include("agree");
  });
  it("gathers logs and picture in one archive, and so does the driver's container by itself", async () => {
    const file = join(node.dir, "report.tgz");
    expect((await plugin("gather", NODE_NAME, "--file", file)).trim()).to.equal(file);
    const listed = execFileSync("tar", ["-tzf", file], { encoding: "utf8" });
    for (const name of ["picture.json", "doctor.json", "slices.json", "claims.json", "driver.log", "nri-agent.log"])
      expect(listed).to.include(name);
    expect(execFileSync("tar", ["-xzOf", file, "--wildcards", "*/driver.log"], { encoding: "utf8" })).to.include(
      '"msg":"serving"',
    );
    const archive = await node.run("sh", [
      "-c",
      `${await world.execCommand("driver", "dracpu", "gather", "--file=-")} | tar -tz`,
    ]);
    for (const name of ["picture.json", "state.json", "checkpoint.json", "topology.yaml"])
      expect(archive).to.include(name);
  });
  it("needs a node or pod that there is", async () => {
    const why = await plugin("map", "nowhere").catch((cause: unknown) => (cause as Error).message);
    expect(why).to.include("No pod of the driver runs on nowhere");
  });
});
