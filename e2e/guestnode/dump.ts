import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NAMESPACE } from "../kit/node/helm.ts";
import { LOOK } from "./views.ts";
import type { GuestWorld } from "./world.ts";

const OUT = join(import.meta.dirname, "..", "..", "out", "e2e");

/** Everything that is needed to understand a failure, in one folder named after the test. */
export async function dump(world: GuestWorld, title: string): Promise<void> {
  const dir = join(OUT, title.replaceAll(/[^A-Za-z0-9]+/g, "-").slice(0, 100));
  mkdirSync(dir, { recursive: true });
  const { cluster } = world;
  const say = async (file: string, what: () => Promise<string> | string): Promise<void> => {
    let text: string;
    try {
      text = await what();
    } catch (cause) {
      text = (cause as Error).message;
    }
    writeFileSync(join(dir, file), text);
  };
  await say("objects.yaml", () =>
    cluster.kubectl("get", "-A", "pods,daemonsets,events,configmaps,resourceclaims,resourceslices,nodes", "-o", "yaml"),
  );
  await say("pods.txt", () => cluster.kubectl("get", "pods", "-A", "-o", "wide"));
  await say("events.txt", () => cluster.kubectl("get", "events", "-A", "--sort-by=.lastTimestamp"));
  await say("product.log", () =>
    cluster.kubectl(
      ...["logs", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=node"],
      ...["--all-containers", "--prefix", "--tail=-1"],
    ),
  );
  for (const guest of world.guests) {
    const { name, shell } = guest;
    await say(`${name}-console.txt`, () => guest.console());
    await say(`${name}-look.txt`, () => shell.run(LOOK));
    for (const log of ["kubelet", "containerd"])
      await say(`${name}-${log}.log`, () => shell.run(`tail -c 200000 /var/log/daemons/${log}.log`));
    await say(`${name}-cgroups.txt`, () =>
      shell.run("cd /sys/fs/cgroup && grep -r . --include='cpuset.cpus*' kubepods 2>/dev/null"),
    );
  }
  console.log(`      dumped to ${dir}`);
}
