import { hostname } from "node:os";
import { CpuListError, CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { addressOf, noAddress } from "@dracpu/shared-proto/observe/address.ts";
import type { LogLevel } from "@dracpu/shared-proto/observe/log.ts";
import type { Setting, Values } from "@dracpu/shared-proto/settings/settings.ts";
import { GROUP_BY, type GroupBy } from "../slices/groups.ts";
import type { DeviceMode } from "../slices/plan.ts";
import { noAbsolutePath, noSocketPath } from "@dracpu/shared-proto/socket/path.ts";
import { DEFAULT_POLICY, type Policy } from "../allocator/allocate.ts";
import { CHOICES } from "../claims/parameters.ts";

/** The page shows names of pods to whoever asks, so only the pod itself, and who may forward its ports, can ask. */
const loopback = (address: string): string | undefined => {
  const at = addressOf(address);
  if (address === "" || (at !== undefined && ["127.0.0.1", "::1", "localhost"].includes(at.host))) return undefined;
  return `${JSON.stringify(address)} is not on the loopback interface; wanted is 127.0.0.1:PORT or [::1]:PORT`;
};
const cpuList = (text: string): string | undefined => {
  try {
    CpuSet.parse(text);
    return undefined;
  } catch (cause) {
    if (cause instanceof CpuListError) return cause.message;
    throw cause;
  }
};

export const DRIVER_SETTINGS: readonly Setting[] = [
  {
    key: "cpuDeviceMode",
    perNode: true,
    flag: "cpu-device-mode",
    type: "string",
    choices: ["grouped", "individual"],
    default: "grouped",
    describe: "What a device is: a group of CPUs that claims share out, or one CPU (at most 32 a claim)",
  },
  {
    key: "groupBy",
    perNode: true,
    flag: "cpu-device-group-by",
    aliases: ["group-by"],
    type: "string",
    choices: GROUP_BY,
    default: "numanode",
    describe: "What CPUs are grouped by; no request can be larger than a group",
  },
  {
    key: "exposePCIeRoots",
    perNode: true,
    flag: "expose-pcie-roots",
    type: "boolean",
    default: false,
    describe: "Publish the PCIe root of a device as `resource.kubernetes.io/pcieRoot`, where there is one",
  },
  {
    key: "pcieRootLists",
    perNode: true,
    flag: "pcie-root-lists",
    type: "boolean",
    default: false,
    describe: "Publish several PCIe roots of a device as a list; needs the feature gate `DRAListTypeAttributes`",
  },
  {
    key: "publishNodeAllocatableResourceMapping",
    perNode: true,
    flag: "publish-node-allocatable-resource-mapping",
    type: "boolean",
    default: false,
    describe:
      "Charge CPUs of claims to the node's allocatable CPU; needs the feature gate `DRANodeAllocatableResources`",
  },
  {
    key: "reservedCPUs",
    perNode: true,
    flag: "reserved-cpus",
    type: "string",
    default: "",
    describe: "CPUs that neither claims nor the shared pool get, such as `0-1`; the kubelet's reservedSystemCPUs",
    check: cpuList,
  },
  {
    key: "keepShared",
    perNode: true,
    flag: "keep-shared",
    type: "number",
    default: -1,
    describe:
      "How many CPUs no claim may have, so that the shared pool is never empty; -1: 1 without reserved CPUs, 0 with",
    check: (n) =>
      Number(n) >= -1
        ? undefined
        : `${n} is no number of CPUs; wanted is 0 or more, or -1 for what fits the reserved CPUs`,
  },
  {
    key: "strategy",
    perNode: true,
    flag: "strategy",
    type: "string",
    choices: CHOICES.strategy,
    default: DEFAULT_POLICY.strategy,
    describe:
      "How a claim's CPUs lie where neither DeviceClass nor claim says it: close together, over many cores, or evenly over NUMA nodes",
  },
  {
    key: "cores",
    perNode: true,
    flag: "cores",
    type: "string",
    choices: CHOICES.cores,
    default: DEFAULT_POLICY.cores,
    describe:
      "Which cores, likewise: any threads, whole cores only, or whole cores with one thread running and its siblings idle; with the last two the scheduler hands out whole cores",
  },
  {
    key: "l3",
    perNode: true,
    flag: "l3",
    type: "string",
    choices: CHOICES.l3,
    default: DEFAULT_POLICY.l3,
    describe: "Whether one L3 cache is preferred, required, or does not matter, likewise",
  },
  {
    key: "coreType",
    perNode: true,
    flag: "core-type",
    type: "string",
    choices: CHOICES.coreType,
    default: DEFAULT_POLICY.coreType,
    describe: "Which class of cores, likewise",
  },
  {
    key: "deviceMetadata",
    perNode: true,
    flag: "device-metadata",
    type: "boolean",
    default: true,
    describe: "Mount a file with attributes and CPUs of its devices into each container of a claim (KEP-5304)",
  },
  {
    key: "nodeName",
    keyAliases: ["hostnameOverride"],
    flag: "node-name",
    aliases: ["hostname-override"],
    type: "string",
    default: "",
    env: "NODE_NAME",
    describe: "Name of this node's Node object",
    otherwise: "the host name in lower case",
  },
  {
    key: "kubeletRootDir",
    flag: "kubelet-root-dir",
    type: "string",
    default: "/var/lib/kubelet",
    describe: "The kubelet's directory, at the path the kubelet itself uses",
    check: noAbsolutePath,
  },
  {
    key: "cdiDir",
    flag: "cdi-dir",
    type: "string",
    default: "/var/run/cdi",
    describe: "CDI directory of the container runtime",
    check: noAbsolutePath,
  },
  {
    key: "kubeconfig",
    flag: "kubeconfig",
    type: "string",
    default: "",
    describe: "File with the API server's address and credentials; else those of the pod",
  },
  {
    key: "agentSocket",
    flag: "agent-socket",
    type: "string",
    default: "/run/dra-driver-cpu/control/control.sock",
    describe: "Where the NRI agent listens for this driver",
    check: noSocketPath,
  },
  {
    key: "inspectSocket",
    flag: "inspect-socket",
    type: "string",
    default: "/run/dra-driver-cpu/inspect/inspect.sock",
    describe: "Where the NRI agent answers `state` and `call`",
    check: noSocketPath,
  },
  {
    key: "stateDir",
    flag: "state-dir",
    type: "string",
    default: "/var/lib/dra-driver-cpu/driver",
    describe: "Directory of the checkpoint and the lock",
    check: noAbsolutePath,
  },
  {
    key: "bindAddress",
    flag: "bind-address",
    type: "string",
    default: ":8080",
    describe: "Address of `/healthz`, `/readyz` and `/metrics`; empty for none",
    check: noAddress,
  },
  {
    key: "pageAddress",
    flag: "page-address",
    type: "string",
    default: "127.0.0.1:8082",
    describe: "Address of the read-only page, on the loopback interface; empty for none",
    check: loopback,
  },
  {
    key: "claimMetrics",
    flag: "claim-metrics",
    type: "boolean",
    default: false,
    describe: "A metric series for each claim, at most 200",
  },
  {
    key: "sysfsRoot",
    flag: "sysfs-root",
    type: "string",
    default: "/sys",
    describe: "Where the machine's sysfs is, or a copy of another's",
    check: noAbsolutePath,
  },
  {
    key: "sysfsOverlay",
    flag: "sysfs-overlay",
    type: "string",
    default: "",
    describe: "YAML file of paths below `/sys/` and their contents, laid over the sysfs root",
  },
  {
    key: "logLevel",
    perNode: true,
    flag: "log-level",
    type: "string",
    choices: ["debug", "info", "warn", "error"],
    default: "info",
    describe: "Least severe log lines that are written",
  },
];

/** Those that an entry `perNode` of the file may set. */
export const NODE_SETTINGS: readonly Setting[] = DRIVER_SETTINGS.filter((one) => one.perNode === true);

export interface DriverSettings {
  readonly cpuDeviceMode: DeviceMode;
  readonly groupBy: GroupBy;
  readonly exposePCIeRoots: boolean;
  readonly pcieRootLists: boolean;
  readonly publishNodeAllocatableResourceMapping: boolean;
  readonly reservedCPUs: CpuSet;
  readonly keepShared: number;
  /** Where neither DeviceClass nor claim says anything. */
  readonly policy: Policy;
  readonly deviceMetadata: boolean;
  readonly nodeName: string;
  readonly kubeletRootDir: string;
  readonly cdiDir: string;
  readonly kubeconfig: string;
  readonly agentSocket: string;
  readonly inspectSocket: string;
  readonly stateDir: string;
  readonly bindAddress: string;
  readonly pageAddress: string;
  readonly claimMetrics: boolean;
  readonly sysfsRoot: string;
  readonly sysfsOverlay: string;
  readonly logLevel: LogLevel;
}

/** Values were checked against {@link DRIVER_SETTINGS}, whose keys and types are those of the interface. */
export function driverSettings(values: Values): DriverSettings {
  const reservedCPUs = CpuSet.parse(String(values["reservedCPUs"]));
  const keepShared = Number(values["keepShared"]);
  return {
    ...(values as unknown as Omit<DriverSettings, "reservedCPUs" | "keepShared" | "policy" | "nodeName">),
    reservedCPUs,
    policy: {
      strategy: values["strategy"],
      cores: values["cores"],
      l3: values["l3"],
      coreType: values["coreType"],
    } as Policy,
    keepShared: keepShared >= 0 ? keepShared : reservedCPUs.isEmpty ? 1 : 0,
    nodeName: (String(values["nodeName"]).trim() || hostname()).toLowerCase(),
  };
}
