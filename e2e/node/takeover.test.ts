import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "chai";
import { NODE_NAME } from "../kit/node/node.ts";
import type { Daemon } from "../kit/node/processes.ts";
import { world } from "./suite.ts";
import { until } from "./world.ts";

/** The reference driver's program (kubernetes-sigs/dra-driver-cpu, `go build ./cmd/dracpu`); its module is on no proxy. */
const REFERENCE = process.env["DRACPU_REFERENCE"];
const GUIDE = join(import.meta.dirname, "..", "..", "docs", "migration.md");
const OWN = { exec: "1", first: "1", cgroup: "1" };

describe("the reference driver's node", function () {
  this.timeout(180_000);
  const { node, pair } = world;
  let generation = 0;
  let reference: Daemon | undefined;

  before(async function () {
    if (REFERENCE === undefined) {
      console.log("      skipped: the reference driver's program is not given by DRACPU_REFERENCE");
      this.skip();
    }
    // It has these paths in its code.
    for (const [from, to] of [
      [node.cdiDir, "/run/cdi"],
      [dirname(node.nriSocket), "/run/nri"],
    ] as const)
      await node.run("sh", ["-c", `mkdir -p ${to} && mount --rbind ${from} ${to}`]);
  });
  afterEach(async () => {
    await reference?.stop();
  });

  const oursEnd = async (): Promise<void> => {
    await pair.driver?.stop();
    await pair.agent?.stop();
  };
  const referenceStarts = async (): Promise<void> => {
    generation += 1;
    reference = node.host(`reference-${generation}`, [
      ...[REFERENCE ?? "", "--kubeconfig", node.kubeconfig, "--kubelet-root-dir", node.kubeletRootDir],
      ...["--hostname-override", NODE_NAME, "--bind-address", "127.0.0.1:8080"],
      // As this product keeps by itself, so that there is a shared pool.
      ...["--cpu-device-mode=grouped", "--group-by=numanode", "--reserved-cpus=0"],
    ]);
    const log = reference.log;
    await until("the reference driver serves", () => readFileSync(log, "utf8").includes("driver started"), 30_000);
  };
  const restarts = async (name: string): Promise<void> => {
    await world.killFirstProcess(name);
    await until(`pod ${name} has a new process`, async () => (await world.place(name)).pid > 0, 60_000);
    await world.running(name, 60_000);
    expect(await world.seen(name)).to.deep.equal(OWN);
  };

  it("is taken over with its running pods, which keep their CPUs and may be restarted and deleted", async () => {
    await oursEnd();
    await referenceStarts();
    await world.createPod({ name: "old", template: "one" });
    await world.createPod({ name: "shared" });
    await world.running("old", 60_000);
    await world.running("shared");
    expect(await world.seen("old")).to.deep.equal(OWN);
    await reference?.stop();
    expect(await world.seen("old"), "while nobody is there").to.deep.equal(OWN);
    await pair.start();
    const { allocations } = await until(
      "the claim is known by name",
      async () => {
        const state = await pair.state<{ allocations?: readonly { claim: { name: string } }[] }>();
        return state.allocations?.some(({ claim }) => claim.name.startsWith("old-")) === true && state;
      },
      30_000,
      200,
    );
    expect(allocations).to.have.length(1);
    expect(await world.seen("old")).to.deep.equal(OWN);
    expect((await world.seen("shared")).exec).to.equal("0");
    await restarts("old");
    await world.remove("old");
    await until("the CPU is back", async () => (await world.seen("shared")).exec === "0-1", 20_000);
  });

  it("is given back with our pods, as the guide says", async () => {
    await pair.ready();
    await world.createPod({ name: "ours", template: "one" });
    await world.running("ours");
    await oursEnd();
    const command = /^```\n(for spec[^]*?)```$/m.exec(readFileSync(GUIDE, "utf8"))?.[1] ?? "";
    await node.run("sh", ["-ec", command]);
    await referenceStarts();
    expect(await world.seen("ours")).to.deep.equal(OWN);
    await restarts("ours");
    await world.remove("ours");
    await reference?.stop();
    // Whoever comes again remembers a claim that is no more, and lets it go at a second look.
    await pair.start();
    await until(
      "no CPU is held",
      async () => ((await pair.state<{ pool?: { held?: string } }>()).pool?.held ?? "") === "",
      120_000,
      1000,
    );
  });
});
