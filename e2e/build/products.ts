/** A program set that is built from one pinned Go module in a folder beside this file. */
export interface Product {
  readonly name: string;
  /** Package path by the name of the binary. */
  readonly binaries: Readonly<Record<string, string>>;
  readonly tags?: string;
  readonly ldflags?: string;
  readonly cgo?: boolean;
  /** Not among those that every suite needs. */
  readonly onlyByName?: boolean;
}

const COMPONENT = "k8s.io/component-base/version";
const CONTAINERD = "github.com/containerd/containerd/v2";
const CNI = "github.com/containernetworking/plugins/plugins";

const containerd = (name: string, version: string): Product => ({
  name,
  binaries: {
    containerd: `${CONTAINERD}/cmd/containerd`,
    "containerd-shim-runc-v2": `${CONTAINERD}/cmd/containerd-shim-runc-v2`,
    ctr: `${CONTAINERD}/cmd/ctr`,
  },
  tags: "no_btrfs no_devmapper no_zfs no_aufs",
  ldflags: `-X ${CONTAINERD}/version.Version=${version}`,
});

const kube = (name: string, version: string): Product => ({
  name,
  binaries: Object.fromEntries(
    ["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "kubelet"].map((program) => [
      program,
      `k8s.io/kubernetes/cmd/${program}`,
    ]),
  ),
  ldflags: [
    `-X ${COMPONENT}.gitVersion=v${version}`,
    `-X ${COMPONENT}.gitMajor=1`,
    `-X ${COMPONENT}.gitMinor=${version.split(".")[1] ?? ""}`,
    `-X ${COMPONENT}.gitTreeState=clean`,
    `-X ${COMPONENT}.gitCommit=0000000`,
    `-X ${COMPONENT}.buildDate=2026-01-01T00:00:00Z`,
  ].join(" "),
});

/** Kubernetes of every suite. */
const KUBE = "1.36.3";
const minorOf = (version: string): string => version.split(".").slice(0, 2).join(".");

/** Name of the product that is Kubernetes of a minor version, such as `1.37`; of none, the one of every suite. */
export function kubeOf(minor = minorOf(KUBE)): string {
  return minor === minorOf(KUBE) ? "kube" : `kube-${minor}`;
}

/** Versions are those of each folder's go.mod; what a binary says of itself has to be given when it is linked. */
export const PRODUCTS: readonly Product[] = [
  containerd("containerd", "2.4.2"),
  // NRI 0.8: no CDI ids, no unsolicited updates, StateChange instead of calls of their own.
  containerd("containerd-2.1", "2.1.9"),
  {
    name: "runc",
    binaries: { runc: "github.com/opencontainers/runc" },
    // The kubelet's pods ask for the RuntimeDefault seccomp profile.
    tags: "seccomp",
    ldflags: "-X main.version=1.4.3",
    cgo: true,
  },
  {
    name: "cni",
    binaries: {
      bridge: `${CNI}/main/bridge`,
      loopback: `${CNI}/main/loopback`,
      "host-local": `${CNI}/ipam/host-local`,
    },
  },
  { name: "etcd", binaries: { etcd: "." } },
  {
    name: "helm",
    binaries: { helm: "helm.sh/helm/v4/cmd/helm" },
    ldflags: "-X helm.sh/helm/v4/internal/version.version=v4.3.1",
  },
  kube(kubeOf(), KUBE),
  ...["1.34.4", "1.35.4", "1.37.2"].map((version) => ({
    ...kube(kubeOf(minorOf(version)), version),
    onlyByName: true,
  })),
];
