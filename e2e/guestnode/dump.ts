import { Dump } from "../kit/node/dump.ts";
import { LOOK } from "./views.ts";
import type { GuestWorld } from "./world.ts";

/** Everything that is needed to understand a failure, in one folder named after the test. */
export async function dump(world: GuestWorld, title: string): Promise<void> {
  const into = new Dump(title);
  // Guests first: by their own shells, which answer also where nothing of Kubernetes does.
  for (const guest of world.guests) {
    const { name, shell } = guest;
    await into.say(`${name}-console.txt`, () => guest.console());
    await into.say(`${name}-look.txt`, () => shell.run(LOOK));
    for (const log of ["kubelet", "containerd"])
      await into.say(`${name}-${log}.log`, () => shell.run(`tail -c 400000 /var/log/daemons/${log}.log`));
    await into.say(`${name}-cgroups.txt`, () =>
      shell.run("cd /sys/fs/cgroup && grep -r . --include='cpuset.cpus*' kubepods 2>/dev/null"),
    );
    await into.say(`${name}-files.txt`, () =>
      shell.run("tail -n +1 /run/cdi/*; find /var/lib/dra-driver-cpu /run/dra-driver-cpu; true"),
    );
  }
  await into.say("helm.txt", () => world.helm.run("history", "dra-driver-cpu"));
  await into.cluster(world.cluster);
  into.end();
}
