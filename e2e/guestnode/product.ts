import type { Cluster } from "../kit/node/cluster.ts";
import { NAMESPACE } from "../kit/node/helm.ts";
import { until } from "../kit/node/processes.ts";

export type Name = "driver" | "nri-agent";

interface ContainerJson {
  readonly name: Name;
  readonly containerID?: string;
  readonly restartCount: number;
  readonly ready: boolean;
}

interface PodJson {
  readonly metadata: { readonly name: string; readonly uid: string; readonly deletionTimestamp?: string };
  readonly status: {
    readonly containerStatuses?: readonly ContainerJson[];
    readonly initContainerStatuses?: readonly ContainerJson[];
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** The product's one pod, by what the API server says of it. */
export interface Own {
  readonly pod: string;
  readonly uid: string;
  /** The runtime's id and the number of restarts. */
  readonly containers: Readonly<Record<Name, string>>;
}

/** The product's pod on the cluster's one node, and what a person does with it. */
export class Product {
  readonly #cluster: Cluster;
  readonly #ms: number;

  /** @param ms that a wait may take. */
  constructor(cluster: Cluster, ms: number) {
    this.#cluster = cluster;
    this.#ms = ms;
  }

  /** Waits until there is one pod of which `which` holds, which is ready, and whose two programs agree. */
  ready(what: string, which: (own: Own) => boolean = () => true): Promise<Own> {
    return until(
      `${what}, ready and of one mind`,
      async () => {
        const own = await this.#now();
        return own !== undefined && which(own) && (await this.#agrees(own)) && own;
      },
      this.#ms,
      1000,
    );
  }

  /** A program in one of its containers. */
  exec(own: Own, name: Name, ...argv: string[]): Promise<string> {
    return this.#cluster.kubectl("exec", "-n", NAMESPACE, own.pod, "-c", name, "--", ...argv);
  }

  async #now(): Promise<Own | undefined> {
    const selector = "app.kubernetes.io/component=node";
    const { items } = await this.#cluster.json<{ items: PodJson[] }>("get", "pods", "-n", NAMESPACE, "-l", selector);
    const [{ metadata, status } = { metadata: undefined, status: undefined }, another] = items;
    const all = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
    const isReady = status?.conditions?.some((one) => one.type === "Ready" && one.status === "True") === true;
    if (metadata === undefined || another !== undefined || metadata.deletionTimestamp !== undefined) return undefined;
    if (!isReady || !all.every((one) => one.ready)) return undefined;
    const idOf = (name: Name): string => {
      const found = all.find((one) => one.name === name);
      return `${found?.containerID ?? ""} ${found?.restartCount ?? ""}`;
    };
    return {
      pod: metadata.name,
      uid: metadata.uid,
      containers: { driver: idOf("driver"), "nri-agent": idOf("nri-agent") },
    };
  }

  async #agrees(own: Own): Promise<boolean> {
    const text = await this.exec(own, "driver", "dracpu", "state", "-o", "json").catch(() => "{}");
    return (JSON.parse(text) as { truth?: string }).truth === "TRUTH_CONFIRMED";
  }
}
