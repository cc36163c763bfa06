import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cluster } from "./cluster.ts";

const OUT = join(import.meta.dirname, "..", "..", "..", "out", "e2e");
const NAMESPACED = "pods,daemonsets,jobs,controllerrevisions,events,configmaps,resourceclaims,resourceclaimtemplates";
const OF_CLUSTER = "nodes,resourceslices,deviceclasses,validatingadmissionpolicies";
/** Calls to a kubelet at one time: an emulated one has no room for more. */
const AT_ONCE = 4;
/** A kubelet that does not answer keeps nobody from the rest. */
const PATIENCE = "--request-timeout=20s";

interface PodJson {
  readonly metadata: { readonly namespace: string; readonly name: string };
  readonly status: Readonly<
    Partial<Record<"containerStatuses" | "initContainerStatuses", readonly { readonly restartCount: number }[]>>
  >;
}

/** What is known when a test has failed, in one folder named after it. */
export class Dump {
  readonly #dir: string;

  constructor(title: string) {
    this.#dir = join(OUT, title.replaceAll(/[^A-Za-z0-9]+/g, "-").slice(0, 100));
    mkdirSync(this.#dir, { recursive: true });
  }

  /** Writes a file, with the reason where there is nothing to write. */
  async say(file: string, what: () => Promise<string> | string): Promise<void> {
    let text: string;
    try {
      text = await what();
    } catch (cause) {
      text = (cause as Error).message;
    }
    writeFileSync(join(this.#dir, file), text);
  }

  /** Logs of the daemons, which of a whole cluster are the control plane's and etcd's; objects of every kind that matters; logs of all containers, and of those before them. */
  async cluster(cluster: Cluster): Promise<void> {
    const logs = join(cluster.dir, "log");
    if (existsSync(logs)) cpSync(logs, join(this.#dir, "daemons"), { recursive: true });
    const get = (...args: string[]): Promise<string> => cluster.kubectl("get", PATIENCE, ...args);
    await this.say("objects.yaml", () => get("-A", NAMESPACED, "-o", "yaml"));
    await this.say("cluster-objects.yaml", () => get(OF_CLUSTER, "-o", "yaml"));
    await this.say("pods.txt", () => get("pods", "-A", "-o", "wide"));
    await this.say("events.txt", () => get("events", "-A", "--sort-by=.lastTimestamp"));
    await this.say("describe.txt", () => cluster.kubectl("describe", PATIENCE, "pods", "-A"));
    const { items } = await cluster
      .json<{ items: PodJson[] }>("get", PATIENCE, "pods", "-A")
      .catch(() => ({ items: [] as PodJson[] }));
    const wanted = items.flatMap((one) => [{ ...one, flags: [] as string[] }, ...before(one)]);
    const next = async (): Promise<void> => {
      for (let one = wanted.shift(); one !== undefined; one = wanted.shift()) await this.#log(cluster, one);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
  }

  #log(cluster: Cluster, { metadata, flags }: PodJson & { readonly flags: readonly string[] }): Promise<void> {
    const { namespace, name } = metadata;
    return this.say(`pod-${namespace}-${name}${flags.join("")}.log`, () =>
      cluster.kubectl(
        "logs",
        PATIENCE,
        "-n",
        namespace,
        "--all-containers",
        "--ignore-errors",
        "--prefix",
        name,
        ...flags,
      ),
    );
  }

  end(): void {
    console.log(`      dumped to ${this.#dir}`);
  }
}

/** The same of the containers before, where there were some. */
function before(one: PodJson): (PodJson & { flags: string[] })[] {
  const { containerStatuses = [], initContainerStatuses = [] } = one.status;
  const restarted = [...containerStatuses, ...initContainerStatuses].some(({ restartCount }) => restartCount > 0);
  return restarted ? [{ ...one, flags: ["--previous"] }] : [];
}
