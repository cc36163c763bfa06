import { join } from "node:path";
import { binary } from "../../build/build.ts";
import type { Cluster } from "./cluster.ts";
import type { RealNode } from "./node.ts";

export const CHART = join(import.meta.dirname, "..", "..", "..", "charts", "dra-driver-cpu");
export const RELEASE = "dra-driver-cpu";
export const NAMESPACE = "dra-driver-cpu";

/** On an emulated node; what is said with --timeout comes first. */
const PATIENCE_MS = 300_000;

/** Where this node really has what the chart mounts; it is at the default paths as well. */
export function realPaths(node: RealNode): string[] {
  const { kubeletRootDir, nriSocket, cdiDir } = node;
  const paths = { kubeletRootDir, nriDir: nriSocket.slice(0, nriSocket.lastIndexOf("/")), cdiDir };
  return Object.entries(paths).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
}

/** Real helm, on a real cluster, with one release of the chart. A later flag wins over an earlier one. */
export class Helm {
  readonly #cluster: Cluster;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  install(...args: string[]): Promise<string> {
    return this.run("install", RELEASE, CHART, "--create-namespace", "--wait", "--timeout=60s", ...args);
  }

  upgrade(...args: string[]): Promise<string> {
    return this.run("upgrade", RELEASE, CHART, "--wait", "--timeout=90s", ...args);
  }

  run(...args: string[]): Promise<string> {
    const where = ["--namespace", NAMESPACE, "--kubeconfig", this.#cluster.kubeconfig];
    return this.#cluster.run(binary("helm", "helm"), [...args, ...where], "", PATIENCE_MS);
  }
}
