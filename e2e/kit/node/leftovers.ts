import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";

/** Where Kubernetes, container runtimes, CNI and this product write unless they are told otherwise. */
const DIRECTORIES = [
  ...["cdi", "containerd", "dra-driver-cpu", "kubernetes", "lock", "netns", "nri", "runc"].map(
    (name) => `/run/${name}`,
  ),
  ...["containers", "pods"].map((name) => `/var/log/${name}`),
  ...["cni", "containerd", "dra-driver-cpu", "etcd", "kubelet"].map((name) => `/var/lib/${name}`),
  ...["cdi", "cni", "containerd", "kubernetes", "nri"].map((name) => `/etc/${name}`),
  ...["cni", "containerd", "nri"].map((name) => `/opt/${name}`),
  "/dev/shm",
];

/** Directories of nodes, of containerds without a kubelet, of guests. Whose processes a node's are is told by more than that. */
const NODES = `${tmpdir()}/dn-`;
const RUNTIMES = new RegExp(`${tmpdir()}/(?:dc|gb|gj|gk)-`);
/** Cgroups of a containerd without a kubelet. */
const RUNTIMES_CGROUPS = "/dracpu-";

/**
 * What real nodes, runtimes and guests may leave behind, one line a thing: files, mounts, cgroups, network devices, processes. Other work on
 * the machine does not show, as long as it is none of these.
 */
export function surroundings(): ReadonlySet<string> {
  const found = new Set<string>();
  for (const dir of [...DIRECTORIES, join(homedir(), ".kube")]) list(dir, 3, found);
  for (const path of readdirSync(tmpdir()).map((name) => join(tmpdir(), name)))
    if (path.startsWith(NODES) || RUNTIMES.test(path)) found.add(`file ${path}`);
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const mount = line.split(" ")[4];
    if (mount !== undefined) found.add(`mount ${mount}`);
  }
  for (const name of readdirSync("/sys/class/net")) found.add(`network device ${name}`);
  for (const controller of directories("/sys/fs/cgroup")) {
    found.add(`cgroup ${controller}`);
    for (const group of directories(controller)) found.add(`cgroup ${group}`);
  }
  const isRuntimes = ({ args, cwd, cgroups }: Process): boolean =>
    [...args, cwd].some((text) => RUNTIMES.test(text)) || cgroups.includes(RUNTIMES_CGROUPS);
  for (const line of processes(isRuntimes)) found.add(line);
  return found;
}

/** What is there after everything stopped and was not there `before` it started, and each process that is still the node's. */
export function leftovers(before: ReadonlySet<string>, node?: Cluster): string[] {
  const now = new Set([...surroundings(), ...(node === undefined ? [] : processesOf(node))]);
  return [...now].filter((line) => !before.has(line));
}

/** By namespace, by cgroup, and by what they were started with: a shim lives in no namespace of the node's. */
function processesOf(node: Cluster): string[] {
  return processes(
    ({ args, cwd, cgroups, pid }) =>
      cgroups.includes("/kubepods") ||
      [...args, cwd].some((text) => text.includes(node.dir)) ||
      ["mnt", "net"].some((kind) => node.namespaces.includes(readlinkSync(`/proc/${pid}/ns/${kind}`))),
  );
}

interface Process {
  readonly pid: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly cgroups: string;
}

function processes(isSought: (process: Process) => boolean): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const read = (name: string): string => readFileSync(`/proc/${pid}/${name}`, "utf8");
        const args = read("cmdline").split("\0");
        const process = { pid, args, cwd: readlinkSync(`/proc/${pid}/cwd`), cgroups: read("cgroup") };
        return isSought(process) ? [`process ${pid}: ${args.join(" ").slice(0, 200)}`] : [];
      } catch {
        // It ended while it was looked at, or is a kernel thread.
        return [];
      }
    });
}

function list(path: string, depth: number, found: Set<string>): void {
  if (!existsSync(path)) return;
  found.add(`file ${path}`);
  if (depth === 0) return;
  try {
    for (const name of readdirSync(path)) list(join(path, name), depth - 1, found);
  } catch {
    // A file, or a directory that went away.
  }
}

function directories(path: string): string[] {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(path, entry.name));
}
