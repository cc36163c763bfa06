import type { AllocationConfig } from "@dracpu/driver/claims/resourceclaim.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ContainerHandle } from "../../kit/containerd/pods.ts";
import { becomes, file, same } from "./lab.ts";
import { Oracle, type Strategy, type Unit } from "./oracle.ts";
import { Pair, type Wanted } from "./pair.ts";
import { MODE_ROWS as ROWS } from "./rows.ts";
import { spread } from "./tap.ts";

const oracle = new Oracle();
const pair = await Pair.start();
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
const grouped = (flag: string, prefix: string, unit?: Unit, ...more: [string, string][]): Promise<void> => {
  const groups = unit === undefined ? [oracle.online] : oracle.units(unit);
  return pair.driver({ "--group-by": flag, ...Object.fromEntries(more) }, (devices) => {
    const cpus = devices.map((one) => JSON.stringify(one.attributes["dra.cpu/cpus"]));
    const wanted = groups.map((group) => attribute(group.minus(KEPT)));
    return devices.every((one) => one.name.startsWith(prefix)) && cpus.sort().join() === wanted.sort().join();
  });
};

let shared: ContainerHandle;
/** CPUs of the claim that stays through every mode. */
const STAYS = CpuSet.of(2, 9);
const open = (device: CpuSet): CpuSet => device.intersect(OFFERED).minus(STAYS);

/** A claim in and out; `look` gets the CPUs that a program inside its container sees first of all. */
async function claimed(
  wanted: Wanted | readonly Wanted[],
  config: readonly AllocationConfig[],
  look: (cpus: CpuSet, container: ContainerHandle) => Promise<void> | void,
  idle: (cpus: CpuSet) => CpuSet = () => CpuSet.empty,
): Promise<void> {
  const pod = await lab.pods.pod(`pod${tap.starts.length}`);
  const claim = await pair.claim(`claim${tap.starts.length}`, pod, [wanted].flat(), config);
  const container = await pair.run(claim, "x");
  await becomes("the container says", () => (container.first() === "" ? "" : "something"), "something");
  const cpus = CpuSet.parse(container.first());
  same(
    "its variable",
    container.environment().find((one) => one.startsWith("DRA_CPUS=")) ?? "",
    `DRA_CPUS=${cpus.toString()}`,
  );
  const others = oracle.online.minus(cpus).minus(idle(cpus)).minus(STAYS);
  same("inside a container without a claim", await pair.inside(shared), others.toString());
  await look(cpus, container);
  await pair.release(claim);
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
  const pod = await lab.pods.pod("refused");
  const began = Date.now();
  const error = await pair.claim("refused", pod, [{ device, cpus: count }], [config]).then(
    () => "prepared",
    (cause: unknown) => (cause as Error).message,
  );
  if (!error.includes(words)) throw new Error(`found ${JSON.stringify(error)}, wanted words with ${words}`);
  if (Date.now() - began > 10_000) throw new Error("it waited for CPUs that no release would bring");
  await lab.pods.removePod(pod);
}
const [node0 = CpuSet.empty, node1 = CpuSet.empty] = oracle.units("node");
const [socket0 = CpuSet.empty, socket1 = CpuSet.empty] = oracle.units("socket");
const lastL3 = oracle.units("l3").at(-1) ?? CpuSet.empty;

await grouped("machine", "cpudevmachine");
await lab.agent.synchronized(60_000);
same("lever", String((await lab.agent.state()).lever), "1");
shared = await lab.pods.run(await lab.pods.pod("shared"), "s");
const stays = await pair.claim(
  "stays",
  await lab.pods.pod("stays"),
  [{ device: "cpudevmachine", cpus: STAYS.size }],
  [says({ cpuset: STAYS.toString() })],
);
const stayer = await pair.run(stays, "stays");

await lab.row(ROWS[0], () =>
  claimed({ device: "cpudevmachine", cpus: 10 }, [], (cpus) => isBest("packed", cpus, 10, oracle.online)),
);
await lab.row(ROWS[1], async () => {
  await becomes("its first instruction", () => stayer.first(), STAYS.toString());
  same("inside it now", await pair.inside(stayer), STAYS.toString());
  same("partition", file(`${stayer.cgroup}/cpuset.cpus.partition`), "root");
  await claimed({ device: "cpudevmachine", cpus: 4 }, [says({ cpuset: "3-4,8,15" })], (cpus) =>
    same("its CPUs", cpus.toString(), "3-4,8,15"),
  );
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

await grouped("numanode", "cpudevnuma", "node");
await lab.row(ROWS[5], async () => {
  same("inside the claim from before", await pair.inside(stayer), STAYS.toString());
  await claimed({ device: deviceOf(node0), cpus: 4 }, [], (cpus) => isBest("packed", cpus, 4, node0));
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

await grouped("l3cache", "cpudevl3", "l3");
await lab.row(ROWS[9], () =>
  claimed({ device: deviceOf(lastL3), cpus: 3 }, [], (cpus) => isBest("packed", cpus, 3, lastL3)),
);

await grouped("socket", "cpudevsocket", "socket", ["--strategy", "spread"]);
await lab.row(ROWS[10], () =>
  claimed({ device: deviceOf(socket0), cpus: 4 }, [], (cpus) => isBest("spread", cpus, 4, socket0)),
);
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

await pair.driver({ "--cpu-device-mode": "individual" }, (devices) => devices.length === OFFERED.size);
await lab.row(ROWS[13], async () => {
  const chosen = CpuSet.of(4, 5, 13);
  const devices = chosen.toArray().map((cpu) => {
    const device = pair.devices().find((one) => JSON.stringify(one.attributes["dra.cpu/cpuID"]) === `{"int":${cpu}}`);
    return { device: device?.name ?? `of CPU ${cpu}` };
  });
  await claimed(devices, [], (cpus) => same("its CPUs", cpus.toString(), chosen.toString()));
});
await lab.row(ROWS[14], async () => {
  same("inside it", await pair.inside(stayer), STAYS.toString());
  await pair.release(stays);
  await becomes("the shared container runs on", () => shared.allowed(), oracle.online.toString());
  same("inside it", await pair.inside(shared), oracle.online.toString());
});
await lab.row(ROWS[15], () => {
  const times = (ofClaim: boolean): number[] =>
    tap.starts.filter((start) => start.ofClaim === ofClaim).map((start) => start.ms);
  console.log(
    `      StartContainer, as the runtime waits: of claims ${spread(times(true))}; of others ${spread(times(false))}`,
  );
  const slow = tap.starts.find((start) => start.ms > 1000);
  if (slow !== undefined) throw new Error(`${slow.container} took ${slow.ms} ms; the runtime gives up after 2000`);
  return Promise.resolve();
});
await pair.end();
