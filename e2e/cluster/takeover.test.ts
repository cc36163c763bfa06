import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { binary } from "../build/build.ts";
import { claimTemplate } from "../node/objects.ts";
import { REFERENCE_CLASS, REFERENCE_SLICE, ReferenceDriver } from "./referencedriver.ts";
import { world } from "./suite.ts";
import { NAMESPACE, RELEASE, until } from "./world.ts";

const ROOT = join(import.meta.dirname, "..", "..");
const GUIDE = readFileSync(join(ROOT, "docs", "migration.md"), "utf8");
const OWN = { exec: "1", first: "1", cgroup: "1" };

// In the guide's order; one claim's pod runs all the time.
describe("a node of the reference driver, as docs/migration.md has it", function () {
  this.timeout(120_000);
  const { node } = world;
  let reference: ReferenceDriver | undefined;
  const referenceStarts = async (): Promise<void> => {
    await node.apply(REFERENCE_CLASS, REFERENCE_SLICE);
    reference = new ReferenceDriver(node);
    await reference.start();
  };
  const referenceStops = async (): Promise<void> => {
    const running = reference;
    reference = undefined;
    await running?.stop();
  };
  const typed = (command: string): Promise<string> =>
    node.run("sh", [
      "-ec",
      `export KUBECONFIG=${node.kubeconfig} PATH=${dirname(binary("helm", "helm"))}:$PATH\n${command}`,
    ]);
  const restarts = async (): Promise<void> => {
    const { id } = await world.place("old");
    await world.killFirstProcess("old");
    await until("it has another container", async () => {
      const now = await world.place("old");
      return now.id !== id && now.pid > 0;
    });
    await world.running("old", 60_000);
    expect(await world.seen("old")).to.deep.equal(OWN);
  };
  const specs = (): Promise<string> => node.run("sh", ["-c", `cat ${node.cdiDir}/dra.k8s.io-cpu_claim-*.json`]);

  before(async () => {
    await world.removeAll();
    await node.kubectl("delete", "resourceclaimtemplates", "--all");
    await node.apply(claimTemplate("one", "1"));
    await referenceStarts();
    await world.createPod({ name: "old", template: "one" });
    await world.running("old", 60_000);
    expect(await world.seen("old"), "by the reference driver").to.deep.equal(OWN);
  });
  after(async () => {
    await referenceStops();
    await node.kubectl("delete", "deviceclasses,resourceslices", "--all");
    // Of an uninstallation without hooks.
    await node.run("sh", ["-c", "rm -rf /var/lib/dra-driver-cpu/* /run/dra-driver-cpu/*"]);
  });

  it("2: the dry run names what is in the way, while the reference driver runs, and with --take-ownership nothing is", async () => {
    const dir = join(node.dir, "migration");
    mkdirSync(dir);
    symlinkSync(join(ROOT, "charts"), join(dir, "charts"));
    writeFileSync(join(dir, "values.yaml"), 'config: {driver: {reservedCPUs: "0"}}\n');
    const dryRun = /`(helm install .*--dry-run=server)`/.exec(GUIDE)?.[1] ?? expect.fail("no dry run");
    const refused = await typed(`cd ${dir}; ${dryRun}`).catch((cause: unknown) => String(cause));
    expect(refused).to.match(/DeviceClass "dra.cpu".*exists and cannot be imported into the current release/);
    expect(await typed(`cd ${dir}; ${dryRun} --take-ownership`)).to.include("STATUS: pending-install");
  });

  it("3 and 4: installed with --take-ownership, it adopts the claim's pod, which keeps its CPU and may be restarted", async () => {
    await referenceStops();
    expect(await world.seen("old"), "while nobody is there").to.deep.equal(OWN);
    await world.helm.install("--take-ownership", "--set-string", "config.driver.reservedCPUs=0");
    await world.ready();
    await until(
      "the claim is known by name",
      async () => {
        const { allocations = [] } = await world.state<{ allocations?: readonly { claim: { name: string } }[] }>();
        return allocations.length === 1 && allocations[0]?.claim.name.startsWith("old-") === true;
      },
      30_000,
      200,
    );
    await until("its spec has the gate", async () => (await specs()).includes("/run/dra-driver-cpu/gate-v1"), 20_000);
    await world.createPod({ name: "shared" });
    await world.running("shared");
    expect((await world.seen("shared")).exec).to.equal("0");
    expect(await world.seen("old")).to.deep.equal(OWN);
    await restarts();
  });

  it("back: without hooks and by the guide's command, the reference driver restarts and ends the pod", async () => {
    await world.helm.run("uninstall", RELEASE, "--no-hooks", "--wait");
    await until(
      "no pod of ours is left",
      async () => (await node.kubectl("get", "pods", "-n", NAMESPACE, "-o", "name")) === "",
      60_000,
      200,
    );
    expect(await world.seen("old"), "while nobody is there").to.deep.equal(OWN);
    await typed(/^```\n(for spec[^]*?)```$/m.exec(GUIDE)?.[1] ?? expect.fail("no command"));
    expect(await specs()).not.to.include("gate-v1");
    await node.kubectl("delete", "resourceslices", "--all");
    await referenceStarts();
    await restarts();
    await world.remove("old", "shared");
    expect(await specs().catch(() => "")).to.equal("");
  });
});
