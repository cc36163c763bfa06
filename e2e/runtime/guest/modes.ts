import type { AllocationConfig } from "@dracpu/driver/claims/resourceclaim.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ContainerHandle } from "../../kit/containerd/pods.ts";
import { compareWithModel } from "./cpusets.ts";
import { becomes, file, same } from "./lab.ts";
import { Oracle, type Strategy, type Unit } from "./oracle.ts";
import { Pair, type ClaimHandle, type Wanted } from "./pair.ts";
import { MODE_ROWS as ROWS } from "./rows.ts";
import { median, spread } from "./tap.ts";

const oracle = new Oracle();
same("L3 caches", oracle.units("l3").map(String).join(" "), "0-3 4-7 8-11 12-15");
const pair = await Pair.start({ "--group-by": "machine" });
const { lab, tap } = pair;
/** The first CPU is kept for the shared pool, so no claim ever has it. */
const KEPT = CpuSet.of(oracle.online.first);
const OFFERED = oracle.online.minus(KEPT);

const says = (fields: object): AllocationConfig => ({
  source: "FromClaim",
  opaque: { driver: "dra.cpu", parameters: { apiVersion: "dra.cpu/v1alpha1", kind: "CPUParameters", ...fields } },
});
const reference = (cpuset: string): AllocationConfig => ({
  source: "FromClaim",
  requests: ["cpus"],
  opaque: { driver: "dra.cpu", parameters: { apiVersion: "v1alpha1", cpuConfig: { cpuset } } },
});
/** Grouped devices are these CPUs, whatever they are called: the attribute says which, the capacity how many. */
const deviceOf = (cpus: CpuSet): string => {
  const own = cpus.minus(KEPT);
  const device = pair.devices().find((one) => JSON.stringify(one.attributes["dra.cpu/cpus"]) === attribute(own));
  if (device === undefined) throw new Error(`no device has the CPUs ${own.toString()}`);
  same(`capacity of ${device.name}`, device.capacity?.["dra.cpu/cpu"]?.value ?? "", String(own.size));
  return device.name;
};
const attribute = (cpus: CpuSet): string => JSON.stringify({ string: cpus.toString() });
const published = (prefix: string, unit?: Unit): Promise<void> => {
  const groups = unit === undefined ? [oracle.online] : oracle.units(unit);
  return pair.takesOver((devices) => {
    const cpus = devices.map((one) => JSON.stringify(one.attributes["dra.cpu/cpus"]));
    const wanted = groups.map((group) => attribute(group.minus(KEPT)));
    return devices.every((one) => one.name.startsWith(prefix)) && cpus.sort().join() === wanted.sort().join();
  });
};

/** One pod for all claims that come and go: pods are slow here. */
const pod = await lab.pods.pod("claims");
const sharedPod = await lab.pods.pod("shared");
let shared: ContainerHandle;
let claims = 0;
/** CPUs of the claim that stays through every mode, once it is there. */
const STAYS = CpuSet.of(2, 9);
let held = CpuSet.empty;
const open = (device: CpuSet): CpuSet => device.intersect(OFFERED).minus(held);

/** A claim in and out; `look` gets the CPUs that a program inside its container sees first of all. */
async function claimed(
  wanted: Wanted | readonly Wanted[],
  config: readonly AllocationConfig[],
  look: (cpus: CpuSet, container: ContainerHandle) => Promise<void> | void,
  idle: (cpus: CpuSet) => CpuSet = () => CpuSet.empty,
): Promise<void> {
  claims += 1;
  const claim = await pair.claim(`claim${claims}`, pod, [wanted].flat(), config);
  const container = await pair.run(claim, `x${claims}`);
  try {
    await becomes("the container says", () => (container.first() === "" ? "" : "something"), "something");
    const cpus = CpuSet.parse(container.first());
    // The end of the line that it prints may come later than its beginning.
    await becomes(
      "its variable",
      () => container.environment().find((one) => one.startsWith("DRA_CPUS=")) ?? "",
      `DRA_CPUS=${cpus.toString()}`,
    );
    const others = oracle.online.minus(cpus).minus(idle(cpus)).minus(held);
    same("inside a container without a claim", await pair.inside(shared), others.toString());
    await look(cpus, container);
  } finally {
    await pair.release(claim, container);
  }
}
const isBest = (strategy: Strategy, cpus: CpuSet, count: number, device: CpuSet): void => {
  const from = open(device);
  if (cpus.size !== count || !cpus.isSubsetOf(from))
    throw new Error(`${cpus.toString()} are not ${count} of ${from.toString()}`);
  same(
    `${strategy}, CPUs ${cpus.toString()}`,
    oracle.quality(strategy, cpus).join(),
    oracle.best(strategy, from, count).join(),
  );
};
async function refused(device: string, count: number, config: AllocationConfig, words: string): Promise<void> {
  const began = Date.now();
  const error = await pair.claim("refused", pod, [{ device, cpus: count }], [config]).then(
    () => "prepared",
    (cause: unknown) => (cause as Error).message,
  );
  if (!error.includes(words)) throw new Error(`found ${JSON.stringify(error)}, wanted words with ${words}`);
  if (Date.now() - began > 10_000) throw new Error("it waited for CPUs that no release would bring");
}
const [node0 = CpuSet.empty, node1 = CpuSet.empty] = oracle.units("node");
const [socket0 = CpuSet.empty, socket1 = CpuSet.empty] = oracle.units("socket");
const lastL3 = oracle.units("l3").at(-1) ?? CpuSet.empty;

await lab.row(ROWS[0], async () => {
  await published("cpudevmachine");
  pair.next({ "--group-by": "numanode" });
  await lab.agent.synchronized(60_000);
  same("lever", String((await lab.agent.state()).lever), "1");
  shared = await pair.runAsked(sharedPod, "s");
  await claimed({ device: "cpudevmachine", cpus: 10 }, [], (cpus) => isBest("packed", cpus, 10, oracle.online));
});
let stays: ClaimHandle;
let stayer: ContainerHandle;
await lab.row(ROWS[1], async () => {
  const wanted = { device: "cpudevmachine", cpus: STAYS.size };
  stays = await pair.claim("stays", await lab.pods.pod("stays"), [wanted], [says({ cpuset: STAYS.toString() })]);
  stayer = await pair.runAsked(stays.pod, "stays", stays.cdi);
  await becomes("its first instruction", () => stayer.first(), STAYS.toString());
  same("partition", file(`${stayer.cgroup}/cpuset.cpus.partition`), "root");
  same("inside a container without a claim", await pair.inside(shared), oracle.online.minus(STAYS).toString());
  held = STAYS;
});
await lab.row(ROWS[2], () =>
  claimed({ device: "cpudevmachine", cpus: 3 }, [reference("3,6,12")], (cpus) =>
    same("its CPUs", cpus.toString(), "3,6,12"),
  ),
);
await lab.row(ROWS[3], () =>
  claimed({ device: "cpudevmachine", cpus: 10 }, [says({ strategy: "distributed" })], (cpus) => {
    isBest("distributed", cpus, 10, oracle.online);
    same("of each node", `${cpus.intersect(node0).size} and ${cpus.intersect(node1).size}`, "5 and 5");
  }),
);
await lab.row(ROWS[4], () =>
  claimed({ device: "cpudevmachine", cpus: 4 }, [says({ strategy: "spread" })], (cpus) => {
    isBest("spread", cpus, 4, oracle.online);
    same("threads beside one of theirs", oracle.siblings(cpus).intersect(cpus).toString(), "");
    same("cores", String(oracle.units("core").filter((core) => core.overlaps(cpus)).length), "4");
  }),
);

await lab.row(ROWS[5], async () => {
  await published("cpudevnuma", "node");
  pair.next({ "--group-by": "l3cache" });
  same("inside the claim from before", await pair.inside(stayer), STAYS.toString());
  await claimed({ device: deviceOf(node0), cpus: 4 }, [], (cpus, container) => {
    isBest("packed", cpus, 4, node0);
    same("memory of NUMA nodes", file(`${container.cgroup}/cpuset.mems`), "0");
  });
  same("memory of a claim on both", file(`${stayer.cgroup}/cpuset.mems`), "0-1");
  same("memory of a container without a claim", file(`${shared.cgroup}/cpuset.mems`), "");
});
await lab.row(ROWS[6], async () => {
  await claimed({ device: deviceOf(node0), cpus: 4 }, [says({ cores: "whole" })], (cpus) => {
    isBest("packed", cpus, 4, node0);
    same("split cores", oracle.siblings(cpus).toString(), "");
  });
  await refused(deviceOf(node1), 3, says({ cores: "whole" }), "3 CPUs on whole cores are wanted");
});
await lab.row(ROWS[7], () =>
  claimed(
    { device: deviceOf(node1), cpus: 4 },
    [says({ cores: "isolated" })],
    (cpus) => {
      same("running CPUs", String(cpus.size), "2");
      const siblings = oracle.siblings(cpus);
      same("one thread of a core, and its sibling free too", String(siblings.intersect(open(node1)).size), "2");
      same(
        "the shared container's own mask",
        file(`${shared.cgroup}/cpuset.cpus`),
        oracle.online.minus(siblings).toString(),
      );
    },
    (cpus) => oracle.siblings(cpus),
  ),
);
await lab.row(ROWS[8], () =>
  claimed({ device: deviceOf(node1), cpus: 4 }, [says({ isolation: "isolated" })], (cpus, x) => {
    isBest("packed", cpus, 4, node1);
    same("partition", file(`${x.cgroup}/cpuset.cpus.partition`), "isolated");
    same("isolated CPUs of the machine", file("/cpuset.cpus.isolated"), cpus.toString());
  }),
);

await lab.row(ROWS[9], async () => {
  await published("cpudevl3", "l3");
  pair.next({ "--group-by": "socket", "--strategy": "spread" });
  await claimed({ device: deviceOf(lastL3), cpus: 3 }, [], (cpus) => isBest("packed", cpus, 3, lastL3));
});

await lab.row(ROWS[10], async () => {
  await published("cpudevsocket", "socket");
  await claimed({ device: deviceOf(socket0), cpus: 4 }, [], (cpus) => isBest("spread", cpus, 4, socket0));
});
await lab.row(ROWS[11], () =>
  claimed({ device: deviceOf(socket1), cpus: 5 }, [says({ strategy: "packed", l3: "prefer" })], (cpus) => {
    isBest("packed", cpus, 5, socket1);
    same("L3 caches", String(oracle.units("l3").filter((one) => one.overlaps(cpus)).length), "2");
  }),
);
await lab.row(ROWS[12], async () => {
  await claimed({ device: deviceOf(socket1), cpus: 4 }, [says({ strategy: "packed", l3: "require" })], (cpus) =>
    same("L3 caches", String(oracle.units("l3").filter((one) => one.overlaps(cpus)).length), "1"),
  );
  await refused(deviceOf(socket1), 5, says({ l3: "require" }), "L3");
});

await lab.row(ROWS[16], async () => {
  await pair.kill();
  const late = await pair.runAsked(sharedPod, "late");
  same("inside the new container", await pair.inside(late), oracle.online.minus(STAYS).toString());
  await becomes("its first instruction", () => late.first(), oracle.online.minus(STAYS).toString());
  same("inside the claim's", await pair.inside(stayer), STAYS.toString());
  lab.agent.start();
  pair.next({ "--cpu-device-mode": "individual" });
  await lab.agent.synchronized(60_000);
  same("inside the new container", await pair.inside(late), oracle.online.minus(STAYS).toString());
  same("inside the claim's", await pair.inside(stayer), STAYS.toString());
  await lab.pods.remove(late);
});

await lab.row(ROWS[13], async () => {
  await pair.takesOver((devices) => devices.length === OFFERED.size);
  const chosen = CpuSet.of(4, 5, 13);
  const devices = chosen.toArray().map((cpu) => {
    const device = pair.devices().find((one) => JSON.stringify(one.attributes["dra.cpu/cpuID"]) === `{"int":${cpu}}`);
    return { device: device?.name ?? `of CPU ${cpu}` };
  });
  await claimed(devices, [], (cpus) => same("its CPUs", cpus.toString(), chosen.toString()));
});
await lab.row(ROWS[14], async () => {
  same("inside it", await pair.inside(stayer), STAYS.toString());
  await pair.release(stays, stayer);
  await becomes("the shared container runs on", () => shared.allowed(), oracle.online.toString());
  same("inside it", await pair.inside(shared), oracle.online.toString());
});
await lab.row(ROWS[15], () => {
  const times = (ofClaim: boolean): number[] =>
    tap.starts.filter((start) => start.ofClaim === ofClaim).map((start) => start.ms);
  console.log(
    `      StartContainer, as the runtime waits: of claims ${spread(times(true))}; of others ${spread(times(false))}`,
  );
  const slowest = tap.starts.toSorted((a, b) => b.ms - a.ms).slice(0, 3);
  console.log(`      slowest: ${slowest.map(({ container, ms }) => `${container} ${ms.toFixed(1)} ms`).join(", ")}`);
  // The emulated machine itself may stand still for a second where CPUs are few, so that one start alone says nothing.
  const slow = tap.starts.filter((start) => start.ms > 1000).map((start) => `${start.container} ${start.ms} ms`);
  if (slow.length > 1) throw new Error(`slow were ${slow.join(", ")}; the runtime gives up after 2000`);
  if (median(times(true)) > 300) throw new Error("half of the claims' containers were held for longer than 300 ms");
  return Promise.resolve();
});
await lab.row(ROWS[17], async () => {
  await pair.kill();
  await compareWithModel(process.env["DRACPU_FULL"] === undefined ? 2 : 36);
});
pair.end();
