import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { NAMESPACE, RELEASE } from "../kit/node/helm.ts";
import { template } from "./objects.ts";
import { Product, type Name, type Own } from "./product.ts";
import { placesOf, TRACES, watchPlaces } from "./steady.ts";
import { world } from "./suite.ts";
import { seconds, SLOW, until } from "./world.ts";

const SIZES = { four: 4, two: 2 };
const EVERYWHERE = CpuSet.range(0, 15);
/** Pods that a test begins with, in the order in which the kernel's word of them is written. */
const PODS = ["four", "two", "shared"] as const;
const HELM = ["--wait=hookOnly", "--timeout=250s"];

// What the kernel says all the while is noted inside the guest, some times a second.
describe("the installed product with partitions, on a node of 16 CPUs", function () {
  this.timeout(2 * SLOW);
  this.bail(true);
  const { cluster } = world;
  const product = new Product(cluster, SLOW);
  const own = new Map<string, CpuSet>();
  let ids: readonly string[] = [];
  let steady = "";
  let now: Own | undefined;

  before(async () => {
    await world.large();
    await world.settings("groupBy=machine");
    await world.devicesBecome("large", (all) => all.map((one) => one.name).join() === "cpudevmachine");
    now = await product.ready("the product");
  });

  const shell = (): ReturnType<typeof world.guest>["shell"] => world.guest("large").shell;
  const restOf = (...cpus: readonly CpuSet[]): string => EVERYWHERE.minus(CpuSet.union(cpus)).toString();
  /** While `what` goes on, and after it, the kernel says one and the same; so do processes in the containers. */
  const unmoved = async (what: () => Promise<Own>): Promise<void> => {
    const began = Date.now();
    const seen = await watchPlaces(shell(), ids);
    try {
      now = await what();
      console.log(`      after ${seconds(began)}`);
    } finally {
      expect(await seen()).to.deep.equal([steady]);
    }
    await alone();
  };
  const alone = async (): Promise<void> => {
    for (const [name, cpus] of own) expect(await world.inside(name), name).to.equal(cpus.toString());
    expect(await world.inside("shared"), "shared").to.equal(restOf(...own.values()));
    expect((await world.partitions("large")).toSorted()).to.deep.equal([...own.values()].map(String).toSorted());
  };
  const idsOf = async (): Promise<string[]> => {
    const pods = await world.pods();
    return PODS.map((name) => {
      const found = pods.find(({ metadata }) => metadata.namespace === "default" && metadata.name === name);
      return found?.status.containerStatuses?.[0]?.containerID?.replace("containerd://", "") ?? "";
    });
  };
  const last = async (): Promise<{ revision: number; status: string } | undefined> => {
    const history = await world.helm.run("history", RELEASE, "-o", "json");
    return (JSON.parse(history) as { revision: number; status: string }[]).at(-1);
  };

  it("gives two pods their CPUs, each as a partition", async () => {
    await cluster.apply(...Object.entries(SIZES).map(([name, cpus]) => template(`life-${name}`, { cpus })));
    await world.createEach(Object.keys(SIZES).map((name) => ({ name, template: `life-${name}` })));
    for (const [name, list] of await world.firsts(Object.keys(SIZES))) own.set(name, CpuSet.parse(list));
    expect([...own.values()].map((one) => one.size)).to.deep.equal(Object.values(SIZES));
    await world.settled("large");
    ids = await idsOf();
    const rest = restOf(...own.values());
    steady = [...[...own.values()].map((one) => `root ${one.toString()}`), `member ${rest}`, rest].join(", ");
    expect(await placesOf(shell(), ids)).to.equal(steady);
    await alone();
  });

  for (const [name, program] of [
    ["nri-agent", "dracpu-agent"],
    ["driver", "dracpu"],
  ] as const)
    it(`${program} restart restarts its container alone, and nobody notices`, async () => {
      const other: Name = name === "driver" ? "nri-agent" : "driver";
      const before = now;
      if (before === undefined) return expect.fail("it is not known");
      await unmoved(async () => {
        await product.exec(before, name, program, "restart").catch(() => {
          // Its own process may be ended before it could say that it worked.
        });
        return product.ready(
          `another ${name}`,
          ({ uid, containers }) => uid === before.uid && containers[name] !== before.containers[name],
        );
      });
      expect(now?.containers[other]).to.equal(before.containers[other]);
    });

  it("helm upgrade with another setting replaces the product's pod, and nobody notices", async () => {
    const before = now;
    await unmoved(async () => {
      await world.settings("groupBy=numanode");
      return product.ready("another pod", ({ uid }) => uid !== before?.uid);
    });
    await world.devicesBecome("large", (all) => all.map((one) => one.name).join() === "cpudevnuma000,cpudevnuma001");
  });

  it("helm rollback does as well", async () => {
    const before = now;
    await unmoved(async () => {
      await world.helm.run("rollback", RELEASE, ...HELM);
      return product.ready("another pod", ({ uid }) => uid !== before?.uid);
    });
    await world.devicesBecome("large", (all) => all.map((one) => one.name).join() === "cpudevmachine");
    await world.settled("large");
  });

  it("helm uninstall refuses while claims have CPUs, names them, and changes nothing", async () => {
    const before = now;
    await unmoved(async () => {
      const refusal = await world.helm
        .run("uninstall", RELEASE, "--timeout=120s")
        .catch((cause: unknown) => String(cause));
      expect(refusal).to.include(`${RELEASE}-uninstall-check`);
      const said = await cluster.kubectl("logs", "-n", NAMESPACE, `job/${RELEASE}-uninstall-check`);
      for (const name of Object.keys(SIZES))
        expect(said).to.match(new RegExp(`claim default/${name}-cpus-\\S+ on node large: used by pod ${name}`));
      const { revision = 0, status = "" } = (await last()) ?? {};
      expect(status).to.equal("uninstalling");
      await world.helm.run("rollback", RELEASE, String(revision), ...HELM);
      return product.ready("the product");
    });
    expect(now).to.deep.equal(before);
  });

  it("helm uninstall by force leaves nothing, also of the kernel's: a claim's container runs on where it is, and so may all others", async () => {
    await world.remove("two");
    await world.helm.upgrade("--reuse-values", ...HELM, "--set", "uninstall.force=true");
    const began = Date.now();
    await world.uninstall();
    console.log(`      took ${seconds(began)}`);
    const four = own.get("four")?.toString() ?? "";
    const [ofFour = "", , ofShared = ""] = ids;
    const all = EVERYWHERE.toString();
    expect(await placesOf(shell(), [ofFour, ofShared])).to.equal(`member ${four}, member ${all}, ${all}`);
    const pods = (): Promise<string> => cluster.kubectl("get", "pods", "-n", NAMESPACE, "-o", "name");
    await until("the product's pods are gone", async () => (await pods()) === "", SLOW, 1000);
    expect(await shell().run(TRACES)).to.equal("");
    expect(await cluster.kubectl("get", "resourceslices", "-o", "name")).to.equal("");
    expect([await world.inside("four"), await world.inside("shared")]).to.deep.equal([four, all]);
    // What the runtime writes again with every update says nothing of a partition.
    const spec = await shell().run(`ctr -n k8s.io containers info ${ofFour}`);
    expect(/"cpuset.cpus.partition": *"(\w+)"/.exec(spec)?.[1]).to.equal("member");
  });

  it("installed again gives a claim's pod its CPUs as a partition, beside a pod that it knows nothing of", async () => {
    await world.settings("groupBy=machine");
    await world.createPods(["two"], "life-two");
    const cpus = CpuSet.parse((await world.firsts(["two"])).get("two") ?? "");
    expect(cpus.size).to.equal(2);
    expect(await world.partitions("large")).to.deep.equal([cpus.toString()]);
    for (const name of ["four", "shared"])
      expect(CpuSet.parse(await world.inside(name)).overlaps(cpus)).to.equal(false);
    await world.remove("four");
    await world.settled("large");
    await world.remove("two");
    await world.empty(EVERYWHERE);
    expect((await shell().run(TRACES)).includes("exclusive")).to.equal(false);
  });
});
