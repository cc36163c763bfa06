import { featureGates } from "./gates.ts";

/** Static tokens of the cluster's components and nodes, each token being the name of whose it is: token, user, uid, groups. */
export function tokens(nodes: readonly string[]): string {
  return [
    'admin,admin,admin,"system:masters"',
    "kcm,system:kube-controller-manager,kcm",
    "scheduler,system:kube-scheduler,scheduler",
    ...nodes.map((name) => `${name},system:node:${name},${name},"system:nodes"`),
    "",
  ].join("\n");
}

/** Directories, sockets and programs of a containerd, and how long NRI plugins may take. */
export interface ContainerdSettings {
  readonly root: string;
  readonly state: string;
  readonly opt: string;
  readonly socket: string;
  readonly cdiDir: string;
  readonly nriDir: string;
  readonly cniDir: string;
  readonly cniBin: string;
  readonly shim: string;
  readonly runc: string;
  /** NRI is on where not given. */
  readonly nriIsOff?: boolean;
  /** CDI is on where not given. */
  readonly cdiIsOff?: boolean;
  /** As `2s`. */
  readonly requestTimeout: string;
  /** containerd's own where not given. */
  readonly registrationTimeout?: string;
}

/** Everything that a containerd writes, below one directory. */
export function below(
  dir: string,
): Pick<ContainerdSettings, "root" | "state" | "opt" | "socket" | "cdiDir" | "nriDir" | "cniDir"> {
  return {
    root: `${dir}/ctd/root`,
    state: `${dir}/ctd/state`,
    opt: `${dir}/ctd/opt`,
    socket: `${dir}/run/containerd.sock`,
    cdiDir: `${dir}/cdi`,
    nriDir: `${dir}/nri`,
    cniDir: `${dir}/cni`,
  };
}

export function containerdConfig(o: ContainerdSettings): string {
  return `version = 3
root = '${o.root}'
state = '${o.state}'
[grpc]
  address = '${o.socket}'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = 'localhost/probe:1'
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  enable_cdi = ${o.cdiIsOff !== true}
  cdi_spec_dirs = ['${o.cdiDir}']
  enable_unprivileged_ports = false
  enable_unprivileged_icmp = false
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ['${o.cniBin}']
  conf_dir = '${o.cniDir}'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
  runtime_path = '${o.shim}'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  BinaryName = '${o.runc}'
  SystemdCgroup = false
[plugins.'io.containerd.nri.v1.nri']
  disable = ${o.nriIsOff === true}
  socket_path = '${o.nriDir}/nri.sock'
  plugin_path = '${o.nriDir}/plugins'
  plugin_config_path = '${o.nriDir}/conf.d'
  plugin_request_timeout = '${o.requestTimeout}'
${o.registrationTimeout === undefined ? "" : `  plugin_registration_timeout = '${o.registrationTimeout}'\n`}[plugins.'io.containerd.internal.v1.opt']
  path = '${o.opt}'
`;
}

export function cniConfig(subnet: string, dataDir: string): string {
  const ipam = { type: "host-local", ranges: [[{ subnet }]], routes: [{ dst: "0.0.0.0/0" }], dataDir };
  return JSON.stringify({
    cniVersion: "1.0.0",
    name: "test",
    plugins: [{ type: "bridge", bridge: "cni0", isGateway: true, ipMasq: false, ipam }],
  });
}

export interface KubeletSettings {
  /** Such as `unix:///run/containerd/containerd.sock`. */
  readonly containerRuntimeEndpoint: string;
  readonly clientCAFile: string;
  readonly address: string;
  /** Fields of KubeletConfiguration, such as `cpuManagerPolicy`. */
  readonly more: Readonly<Record<string, unknown>>;
}

/** KubeletInUserNamespace makes it leave the machine's sysctls alone; nothing else of that mode is used. */
export function kubeletConfig(o: KubeletSettings): string {
  return JSON.stringify({
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    cgroupDriver: "cgroupfs",
    containerRuntimeEndpoint: o.containerRuntimeEndpoint,
    address: o.address,
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true },
      x509: { clientCAFile: o.clientCAFile },
    },
    authorization: { mode: "Webhook" },
    registerNode: true,
    failSwapOn: false,
    makeIPTablesUtilChains: false,
    localStorageCapacityIsolation: false,
    cgroupsPerQOS: true,
    enforceNodeAllocatable: ["pods"],
    featureGates: { KubeletInUserNamespace: true, ...featureGates() },
    resolvConf: "",
    evictionHard: {
      "memory.available": "100Mi",
      "nodefs.available": "0%",
      "imagefs.available": "0%",
      "nodefs.inodesFree": "0%",
    },
    nodeStatusUpdateFrequency: "5s",
    ...o.more,
  });
}
