import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NAMESPACE, type ClusterWorld } from "./world.ts";

const OUT = join(import.meta.dirname, "..", "..", "out", "e2e");

/** Everything that is needed to understand a failure, in one folder named after the test. */
export async function dump(world: ClusterWorld, title: string): Promise<void> {
  const dir = join(OUT, title.replaceAll(/[^A-Za-z0-9]+/g, "-").slice(0, 100));
  mkdirSync(dir, { recursive: true });
  const { node } = world;
  cpSync(join(node.dir, "log"), join(dir, "daemons"), { recursive: true });
  const say = async (file: string, what: () => Promise<string>): Promise<void> => {
    const text = await what().catch((cause: unknown) => (cause as Error).message);
    writeFileSync(join(dir, file), text);
  };
  const all = "pods,daemonsets,jobs,controllerrevisions,events,configmaps,resourceclaims,resourceclaimtemplates";
  await say("objects.yaml", () => node.kubectl("get", "-A", all, "-o", "yaml"));
  await say("cluster-objects.yaml", () =>
    node.kubectl("get", "nodes,resourceslices,deviceclasses,validatingadmissionpolicies", "-o", "yaml"),
  );
  await say("pods.txt", () => node.kubectl("get", "pods", "-A", "-o", "wide"));
  await say("events.txt", () => node.kubectl("get", "events", "-A", "--sort-by=.lastTimestamp"));
  await say("describe.txt", () => node.kubectl("describe", "pods", "-A"));
  await say("state.json", async () => JSON.stringify(await world.state(), undefined, 2));
  await say("helm.txt", () => world.helm.run("history", "dra-driver-cpu"));
  await say("traces.txt", async () => (await world.traces()).join("\n"));
  await say("masks.txt", () =>
    node.run("sh", ["-c", "cd /sys/fs/cgroup/cpuset/kubepods && grep -r . --include=cpuset.cpus . || true"]),
  );
  await say("cdi.txt", () => node.run("sh", ["-c", `tail -n +1 ${node.cdiDir}/* || true`]));
  const pods = await node.kubectl("get", "pods", "-A", "-o", "name").catch(() => "");
  for (const pod of pods.split("\n").filter((one) => one !== "")) {
    for (const which of ["", "--previous"]) {
      const args = ["logs", "-n", NAMESPACE, "--all-containers", "--prefix", pod, ...(which === "" ? [] : [which])];
      await say(`${pod.replace("/", "-")}${which}.log`, () => node.kubectl(...args));
    }
  }
  console.log(`      dumped to ${dir}`);
}
