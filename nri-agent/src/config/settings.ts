import { noAbsolutePath, noSocketPath } from "@dracpu/shared-proto/socket/path.ts";
import { noAddress } from "@dracpu/shared-proto/observe/address.ts";
import type { Setting, Values } from "@dracpu/shared-proto/settings/settings.ts";
import type { LogLevel } from "@dracpu/shared-proto/observe/log.ts";
import type { LeverChoice } from "../cgroup/levers.ts";

export const AGENT_SETTINGS: readonly Setting[] = [
  {
    key: "nriSocket",
    flag: "nri-socket",
    type: "string",
    default: "/var/run/nri/nri.sock",
    describe: "NRI socket of the container runtime",
    check: noSocketPath,
  },
  {
    key: "controlSocket",
    flag: "control-socket",
    type: "string",
    default: "/run/dra-driver-cpu/control/control.sock",
    describe: "Where the driver speaks to this agent",
    check: noSocketPath,
  },
  {
    key: "inspectSocket",
    flag: "inspect-socket",
    type: "string",
    default: "/run/dra-driver-cpu/inspect/inspect.sock",
    describe: "Where people ask this agent; read-only",
    check: noSocketPath,
  },
  {
    key: "stateDir",
    flag: "state-dir",
    type: "string",
    default: "/var/lib/dra-driver-cpu/agent",
    describe: "Directory of the agent's own file and lock",
    check: noAbsolutePath,
  },
  {
    key: "cgroupRoot",
    flag: "cgroup-root",
    type: "string",
    default: "/sys/fs/cgroup",
    describe: "Where the host's cgroup file system is mounted",
    check: noAbsolutePath,
  },
  {
    key: "sysfsRoot",
    flag: "sysfs-root",
    type: "string",
    default: "/sys",
    describe: "Where the machine's sysfs is; read for the CPUs that are online",
    check: noAbsolutePath,
  },
  {
    key: "lever",
    perNode: true,
    flag: "lever",
    type: "string",
    choices: ["auto", "kernel", "file", "runtime"],
    default: "auto",
    describe: "How CPUs are kept exclusive; `auto` finds the best by trying",
  },
  {
    key: "pinMemory",
    perNode: true,
    flag: "pin-memory",
    type: "boolean",
    default: false,
    describe:
      "Let claims' containers take memory of their CPUs' NUMA nodes alone (`cpuset.mems`); where it is full they are killed, not slowed",
  },
  {
    key: "foreignLoad",
    perNode: true,
    flag: "foreign-load",
    type: "number",
    default: 20,
    describe:
      "Percent of one CPU that others than its containers may take from a claim's CPUs before people are told of it (DRACPU-509); 0: never. With partitions nobody can",
    check: (n) => (Number(n) >= 0 ? undefined : `${n} is no percentage; wanted is 1 or more, or 0 for never`),
  },
  {
    key: "hostProc",
    flag: "host-proc",
    type: "string",
    default: "",
    describe:
      "Where the host's `/proc` is mounted, to see containers whose threads stay on fewer CPUs than they may use (DRACPU-315); empty: not looked at",
    check: (path) => (path === "" ? undefined : noAbsolutePath(path)),
  },
  {
    key: "bindAddress",
    flag: "bind-address",
    type: "string",
    default: ":8081",
    describe: "Address of `/healthz`, `/readyz` and `/metrics`; empty for none",
    check: noAddress,
  },
  {
    key: "podUid",
    flag: "pod-uid",
    type: "string",
    default: "",
    env: "POD_UID",
    describe: "uid of the agent's own pod, which may also use the reserved CPUs",
  },
  {
    key: "pluginIndex",
    flag: "plugin-index",
    type: "string",
    default: "10",
    describe: "NRI plugin index, two digits",
    check: (text) =>
      /^\d\d$/.test(text) ? undefined : `${JSON.stringify(text)} is no index; wanted are two digits, such as 10`,
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
export const AGENT_NODE_SETTINGS: readonly Setting[] = AGENT_SETTINGS.filter((one) => one.perNode === true);

export interface AgentSettings {
  readonly nriSocket: string;
  readonly controlSocket: string;
  readonly inspectSocket: string;
  readonly stateDir: string;
  readonly cgroupRoot: string;
  readonly sysfsRoot: string;
  readonly lever: LeverChoice;
  readonly pinMemory: boolean;
  readonly foreignLoad: number;
  readonly hostProc: string;
  readonly bindAddress: string;
  readonly podUid: string;
  readonly pluginIndex: string;
  readonly logLevel: LogLevel;
}

/** Values were checked against {@link AGENT_SETTINGS}, whose keys and types are those of the interface. */
export function agentSettings(values: Values): AgentSettings {
  return values as unknown as AgentSettings;
}
