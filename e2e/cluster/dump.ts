import { Dump } from "../kit/node/dump.ts";
import type { ClusterWorld } from "./world.ts";

/** Everything that is needed to understand a failure, in one folder named after the test. */
export async function dump(world: ClusterWorld, title: string): Promise<void> {
  const { node } = world;
  const into = new Dump(title);
  await into.cluster(node);
  await into.say("state.json", async () => JSON.stringify(await world.state(), undefined, 2));
  await into.say("helm.txt", () => world.helm.run("history", "dra-driver-cpu"));
  await into.say("traces.txt", async () => (await world.traces()).join("\n"));
  await into.say("masks.txt", () =>
    node.run("sh", ["-c", "cd /sys/fs/cgroup/cpuset/kubepods && grep -r . --include=cpuset.cpus . || true"]),
  );
  await into.say("cdi.txt", () => node.run("sh", ["-c", `tail -n +1 ${node.cdiDir}/* || true`]));
  into.end();
}
