import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";

/** Where Kubernetes, container runtimes, CNI and this product write unless they are told otherwise. */
const DIRECTORIES = [
  ...["cdi", "containerd", "dra-driver-cpu", "kubernetes", "lock", "netns", "nri", "runc", "systemd"].map(
    (name) => `/run/${name}`,
  ),
  ...["containers", "pods"].map((name) => `/var/log/${name}`),
  ...["cni", "containerd", "dra-driver-cpu", "etcd", "kubelet"].map((name) => `/var/lib/${name}`),
  ...["cdi", "cni", "containerd", "kubernetes", "nri"].map((name) => `/etc/${name}`),
  ...["cni", "containerd", "nri"].map((name) => `/opt/${name}`),
  "/dev/shm",
];

/**
 * What a real node may leave behind outside of its directory, one line a thing: files, mounts, cgroups, network devices. Other work on
 * the machine does not show, as long as it is no Kubernetes.
 */
export function surroundings(): ReadonlySet<string> {
  const found = new Set<string>();
  for (const dir of [...DIRECTORIES, join(homedir(), ".kube")]) list(dir, 3, found);
  for (const name of readdirSync(tmpdir())) if (name.startsWith("dn-")) found.add(`file ${join(tmpdir(), name)}`);
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const mount = line.split(" ")[4];
    if (mount !== undefined) found.add(`mount ${mount}`);
  }
  for (const name of readdirSync("/sys/class/net")) found.add(`network device ${name}`);
  for (const controller of directories("/sys/fs/cgroup")) {
    found.add(`cgroup ${controller}`);
    for (const group of directories(controller)) found.add(`cgroup ${group}`);
  }
  return found;
}

/** What is there after the node stopped and was not there `before` it started, and each process that is still the node's. */
export function leftovers(before: ReadonlySet<string>, node: Cluster): string[] {
  return [...[...surroundings()].filter((line) => !before.has(line)), ...processesOf(node)];
}

/** By namespace, by cgroup, and by what they were started with: a shim lives in no namespace of the node's. */
function processesOf(node: Cluster): string[] {
  const found: string[] = [];
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const read = (name: string): string => readFileSync(`/proc/${pid}/${name}`, "utf8");
      const namespaces = ["mnt", "net"].map((kind) => readlinkSync(`/proc/${pid}/ns/${kind}`));
      const belongs =
        namespaces.some((one) => node.namespaces.includes(one)) ||
        read("cgroup").includes("/kubepods") ||
        read("cmdline").includes(node.dir) ||
        readlinkSync(`/proc/${pid}/cwd`).startsWith(node.dir);
      if (belongs) found.push(`process ${pid}: ${read("cmdline").replaceAll("\0", " ").slice(0, 200)}`);
    } catch {
      // It ended while it was looked at, or is a kernel thread.
    }
  }
  return found;
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
