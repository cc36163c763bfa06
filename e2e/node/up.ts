import { World } from "./world.ts";

// A real node that stays up for a person, with driver and agent on it; everything goes when the shell ends.
if (process.getuid?.() !== 0) {
  console.error("npm run node needs root: it makes namespaces and cgroups, and runs a kubelet");
  process.exit(1);
}
const world = new World();
try {
  await world.start();
  console.log(`
A real Kubernetes node is up in ${world.node.dir}, with dracpu and dracpu-agent as host processes.
This shell has kubectl. Claim templates: one, half, many, pair. Try:

  kubectl get resourceslices -o yaml
  kubectl create -f - <<'POD'
  {"apiVersion":"v1","kind":"Pod","metadata":{"name":"fast"},"spec":{"resourceClaims":[{"name":"cpus","resourceClaimTemplateName":"one"}],
   "containers":[{"name":"c","image":"localhost/probe:1","imagePullPolicy":"Never","command":["/probe"],"resources":{"claims":[{"name":"cpus"}]}}]}}
  POD
  kubectl get pods,resourceclaims
  kubectl exec fast -- grep Cpus_allowed_list /proc/self/status
  $NODE $DRACPU state --inspect-socket ${world.pair.inspectSocket}
  curl --unix-socket ${world.pair.inspectSocket} -H 'content-type: application/json' -d '{}' http://localhost/dracpu.agent.v1.Inspect/GetState
  tail -f ${world.node.dir}/log/driver-*.log ${world.node.dir}/log/agent-*.log

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
