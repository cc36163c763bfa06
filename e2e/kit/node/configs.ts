/** Static tokens of the cluster's components: token, user, uid, groups. */
export const TOKENS = `admin,admin,admin,"system:masters"
kcm,system:kube-controller-manager,kcm
scheduler,system:kube-scheduler,scheduler
node,system:node:node-a,node,"system:nodes"
`;

export function containerdConfig(
  dir: string,
  shim: string,
  runc: string,
  bridge: string,
  nri: { readonly isOff: boolean; readonly requestTimeout: string },
): string {
  return `version = 3
root = '${dir}/ctd/root'
state = '${dir}/ctd/state'
[grpc]
  address = '${dir}/run/containerd.sock'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'localhost/probe:1'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  enable_cdi = true
  cdi_spec_dirs = ['${dir}/cdi']
  enable_unprivileged_ports = false
  enable_unprivileged_icmp = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['${bridge.slice(0, bridge.lastIndexOf("/"))}']
  conf_dir = '${dir}/cni'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
  runtime_path = '${shim}'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = '${runc}'
  SystemdCgroup = false
[plugins.'io.containerd.nri.v1.nri']
  disable = ${nri.isOff}
  socket_path = '${dir}/nri/nri.sock'
  plugin_path = '${dir}/nri/plugins'
  plugin_config_path = '${dir}/nri/conf.d'
  plugin_request_timeout = '${nri.requestTimeout}'
[plugins.'io.containerd.internal.v1.opt']
  path = '${dir}/ctd/opt'
`;
}

export function cniConfig(dir: string): string {
  const ipam = {
    type: "host-local",
    ranges: [[{ subnet: "10.244.0.0/24" }]],
    routes: [{ dst: "0.0.0.0/0" }],
    dataDir: `${dir}/run/cni`,
  };
  return JSON.stringify({
    cniVersion: "1.0.0",
    name: "test",
    plugins: [{ type: "bridge", bridge: "cni0", isGateway: true, ipMasq: false, ipam }],
  });
}

/** KubeletInUserNamespace makes it leave the machine's sysctls alone; nothing else of that mode is used. */
export function kubeletConfig(dir: string, syncFrequency: string, more: object): string {
  return JSON.stringify({
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    failCgroupV1: false,
    cgroupDriver: "cgroupfs",
    containerRuntimeEndpoint: `unix://${dir}/run/containerd.sock`,
    address: "10.200.0.1",
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: `${dir}/pki/ca.crt` },
    },
    authorization: { mode: "Webhook" },
    registerNode: true,
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    localStorageCapacityIsolation: false,
    cgroupsPerQOS: true,
    enforceNodeAllocatable: ["pods"],
    featureGates: { KubeletInUserNamespace: true },
    resolvConf: "",
    evictionHard: {
      "memory.available": "100Mi",
      "nodefs.available": "0%",
      "imagefs.available": "0%",
      "nodefs.inodesFree": "0%",
    },
    syncFrequency,
    nodeStatusUpdateFrequency: "5s",
    ...more,
  });
}
