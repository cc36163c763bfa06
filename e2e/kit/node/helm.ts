import { join } from "node:path";
import { binary } from "../../build/build.ts";
import type { RealNode } from "./node.ts";

export const CHART = join(import.meta.dirname, "..", "..", "..", "charts", "dra-driver-cpu");
export const RELEASE = "dra-driver-cpu";
export const NAMESPACE = "dra-driver-cpu";

/** Real helm, on a real node's cluster, with one release of the chart. */
export class Helm {
  readonly #node: RealNode;

  constructor(node: RealNode) {
    this.#node = node;
  }

  /** Where this node really has what the chart mounts; it is at the default paths as well. */
  get realPaths(): string[] {
    const { kubeletRootDir, nriSocket, cdiDir } = this.#node;
    const paths = { kubeletRootDir, nriDir: nriSocket.slice(0, nriSocket.lastIndexOf("/")), cdiDir };
    return Object.entries(paths).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  }

  install(...args: string[]): Promise<string> {
    return this.run("install", RELEASE, CHART, "--create-namespace", "--wait", "--timeout=60s", ...args);
  }

  upgrade(...args: string[]): Promise<string> {
    return this.run("upgrade", RELEASE, CHART, "--wait", "--timeout=90s", ...args);
  }

  run(...args: string[]): Promise<string> {
    return this.#node.run(binary("helm", "helm"), [
      ...args,
      ...["--namespace", NAMESPACE, "--kubeconfig", this.#node.kubeconfig],
    ]);
  }
}
