import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { CpusetFiles, findCpuset } from "@dracpu/nri-agent/cgroup/cpusetfs.ts";
import { CgroupFault } from "@dracpu/nri-agent/enforce/ports.ts";
import { PartitionModel } from "../../kit/partitionmodel.ts";
import { until } from "../../kit/node/processes.ts";

const ROOT = "/sys/fs/cgroup";
const ONLINE = CpuSet.parse("0-15");
/** Any; the first of those that found what the model lacked. */
const FIRST_SEED = 25;
/** How often each state was compared. */
const seen = new Map<string, number>();
const files = new CpusetFiles(findCpuset(ROOT));

/** Small, repeatable numbers (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let a = seed;
  return (below) => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

function control(path: string): void {
  writeFileSync(`${ROOT}${path}/cgroup.subtree_control`, "+cpuset");
}
const TOP = `/model`;
const INNER = [
  TOP,
  ...["be", "bu"].flatMap((qos) => [`${TOP}/${qos}`, ...["p1", "p2"].map((p) => `${TOP}/${qos}/${p}`)]),
];
const LEAVES = INNER.filter((path) => path.split("/").length === 4).flatMap((pod) => [`${pod}/a`, `${pod}/b`]);

const sleepers = new Map<string, ChildProcess>();
async function enter(path: string): Promise<void> {
  const child = spawn("sleep", ["100000"], { stdio: "ignore" });
  writeFileSync(`${ROOT}${path}/cgroup.procs`, String(child.pid));
  sleepers.set(path, child);
  await Promise.resolve();
}
async function leave(path: string): Promise<void> {
  sleepers.get(path)?.kill("SIGKILL");
  sleepers.delete(path);
  await until(
    "the cgroup is empty",
    () => /^populated 0$/m.test(readFileSync(`${ROOT}${path}/cgroup.events`, "utf8")),
    5000,
    2,
  );
}
function remove(path: string): void {
  for (const entry of readdirSync(ROOT + path, { withFileTypes: true }))
    if (entry.isDirectory()) remove(`${path}/${entry.name}`);
  rmdirSync(ROOT + path);
}

function both(real: () => void, model: () => void): string {
  const outcome = (run: () => void): string => {
    try {
      run();
      return "done";
    } catch (cause) {
      if (cause instanceof CgroupFault) return /\((E[A-Z]+)\)/.exec(cause.message)?.[1] ?? cause.code;
      if ((cause as NodeJS.ErrnoException).code === "EBUSY" || (cause as Error).message.endsWith("EBUSY"))
        return "EBUSY";
      throw cause;
    }
  };
  const a = outcome(real);
  const b = outcome(model);
  return a === b ? "" : `the kernel says ${a}, the model ${b}`;
}

function compare(model: PartitionModel): string {
  const rows: string[] = [];
  let differs = false;
  for (const path of [...INNER, ...LEAVES]) {
    if (!model.has(path)) continue;
    const real = [
      files.readPartition(path)?.replace(/ \(.*/, ""),
      files.readExclusive(path)?.toString(),
      readFileSync(`${ROOT}${path}/cpuset.cpus`, "utf8").trim(),
      readFileSync(`${ROOT}${path}/cpuset.cpus.effective`, "utf8").trim(),
      readFileSync(`${ROOT}${path}/cpuset.cpus.exclusive.effective`, "utf8").trim(),
    ];
    const played = [
      model.readPartition(path)?.replace(/ \(.*/, ""),
      model.readExclusive(path)?.toString(),
      model.read(path)?.own.toString(),
      model.effective(path).toString(),
      model.granted(path).toString(),
    ];
    differs ||= real.join("|") !== played.join("|");
    rows.push(`${path}: ${real.join(" | ")}   ---   ${real.join("|") !== played.join("|") ? played.join(" | ") : ""}`);
  }
  const host = readFileSync(`${ROOT}/cpuset.cpus.effective`, "utf8").trim();
  const played = model.effective("").toString();
  if (differs) return rows.join("\n");
  return host === played ? "" : `root: the kernel says ${host}, the model ${played}`;
}

async function sequence(seed: number, steps: number): Promise<string> {
  const model = new PartitionModel(ONLINE);
  const pick = numbers(seed);
  const one = <T>(of: readonly T[]): T => of[pick(of.length)] as T;
  const told: string[] = [];
  for (const path of INNER) {
    mkdirSync(ROOT + path);
    model.mkdir(path);
    control(path);
  }
  const make = async (path: string): Promise<void> => {
    mkdirSync(ROOT + path);
    model.mkdir(path);
    await Promise.resolve();
  };
  for (const path of LEAVES) await make(path);
  const sets = ["", "2", "2-3", "3", "4-5", "2-5", "8-9", "4", "0-1,6-15", "0-15"].map((text) => CpuSet.parse(text));
  const paths = [...INNER.slice(1), ...LEAVES, ...LEAVES];
  const plan: [number, string, CpuSet][] = [];
  /** What the agent writes to give a container or a pod its CPUs alone; what chance does in between is the test. */
  const takeAlone = (path: string): void => {
    const cpus = one(["2-3", "4-5", "2-5", "4"].map((text) => CpuSet.parse(text)));
    const parts = path.split("/").slice(1);
    for (let depth = 2; depth < parts.length; depth++)
      plan.push([3, `/${parts.slice(0, depth).join("/")}`, cpus.union(one([CpuSet.empty, CpuSet.parse("2-5")]))]);
    plan.push([3, TOP, CpuSet.parse("2-5")], [0, path, cpus], [3, path, cpus], [6, path, CpuSet.empty]);
    if (pick(3) > 0) plan.push([8, path, CpuSet.empty]);
  };
  try {
    for (let n = 0; n < steps; n++) {
      if (plan.length === 0 && pick(4) === 0) takeAlone(one([...LEAVES, ...LEAVES, ...INNER.slice(1)]));
      const [what, path, set] = (pick(8) > 0 ? plan.shift() : undefined) ?? [pick(10), one(paths), one(sets)];
      let why = "";
      if (!model.has(path)) {
        told.push(`mkdir ${path}`);
        await make(path);
      } else if (what < 3) {
        if (set.isEmpty && what === 2) continue;
        told.push(`cpus ${path}=${set.toString()}`);
        why = both(
          () => files.write(path, set),
          () => model.write(path, set),
        );
      } else if (what < 6) {
        if ([...INNER, ...LEAVES].some((other) => model.isHalf(other) && `${other}/`.startsWith(`${path}/`))) continue;
        told.push(`exclusive ${path}=${set.toString()}`);
        why = both(
          () => files.writeExclusive(path, set),
          () => model.writeExclusive(path, set),
        );
      } else if (what < 8) {
        const type =
          what === 6
            ? one(["root", "root", "isolated"] as const)
            : one(["root", "member", "isolated", "member"] as const);
        // Only partitions right below none: what the agent makes.
        const nested = [...INNER, ...LEAVES].some(
          (other) =>
            other !== path &&
            (other.startsWith(`${path}/`) || path.startsWith(`${other}/`)) &&
            model.readPartition(other) !== undefined &&
            model.readPartition(other) !== "member",
        );
        if (path.split("/").length < 4 || (nested && type !== "member")) continue;
        told.push(`partition ${path}=${type}`);
        why = both(
          () => files.writePartition(path, type),
          () => model.writePartition(path, type),
        );
      } else if (LEAVES.includes(path)) {
        if (sleepers.has(path)) {
          told.push(`leave ${path}`);
          await leave(path);
          model.setProcesses(path, 0);
        } else if (what === 8) {
          told.push(`enter ${path}`);
          await enter(path);
          model.setProcesses(path, 1);
        } else {
          told.push(`rmdir ${path}`);
          rmdirSync(ROOT + path);
          model.rmdir(path);
        }
      }
      why ||= compare(model);
      for (const path of [...INNER, ...LEAVES]) {
        const text = model.readPartition(path) ?? "gone";
        if (text !== "member") seen.set(text, (seen.get(text) ?? 0) + 1);
      }
      if (why !== "")
        return `seed ${seed}, step ${n}: ${why}\n${told
          .slice(-30)
          .map((line) => `      ${line}`)
          .join("\n")}`;
    }
    return model.lost().isEmpty ? "" : `seed ${seed}: CPUs are nobody's: ${model.lost().toString()}`;
  } finally {
    for (const path of [...sleepers.keys()]) await leave(path);
    for (const path of [...LEAVES, ...INNER]) if (model.has(path)) files.writePartition(path, "member");
    remove(TOP);
  }
}

/**
 * Random writes to a tree of cgroups, as the agent makes them and others beside it, to this kernel and to the model that unit tests play.
 * Nobody else has a partition meanwhile.
 *
 * @throws Error with the first step after which they differ, and what came before it.
 */
export async function compareWithModel(seeds: number): Promise<void> {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + seeds; seed++) {
    const why = await sequence(seed, 120);
    if (why !== "") throw new Error(why);
  }
  console.log([...seen].map(([text, times]) => `      ${times} times ${text}`).join("\n"));
}
