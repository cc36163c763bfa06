import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pod } from "./objects.ts";
import { World } from "./world.ts";

// A real node that stays up for a person, with driver and agent on it; everything goes when the shell ends.
if (process.getuid?.() !== 0) {
  console.error("npm run node needs root: it makes namespaces and cgroups, and runs a kubelet");
  process.exit(1);
}
const world = new World();
const { dir } = world.node;
const { inspectSocket } = world.pair;
try {
  await world.start();
  writeFileSync(join(dir, "fast.json"), JSON.stringify(pod({ name: "fast", template: "one" }), undefined, 2));
  console.log(`
A real Kubernetes node is up in ${dir}, with dracpu and dracpu-agent as host processes.
This shell has kubectl. Claim templates: one, half, many, pair. Try:

  kubectl get resourceslices -o yaml
  kubectl create -f ${dir}/fast.json
  kubectl get pods,resourceclaims
  kubectl exec fast -- grep Cpus_allowed_list /proc/self/status
  $NODE $DRACPU state --inspect-socket ${inspectSocket}
  curl --unix-socket ${inspectSocket} -H 'content-type: application/json' -d '{}' http://localhost/dracpu.agent.v1.Inspect/GetState
  tail -f ${dir}/log/driver-*.log ${dir}/log/agent-*.log

exit takes everything down.
`);
  await world.node.shell({
    NODE: process.execPath,
    DRACPU: new URL("../../driver/src/main.ts", import.meta.url).pathname,
    PS1: "node-a# ",
  });
} finally {
  await world.stop();
}
