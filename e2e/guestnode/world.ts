import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { buildImages } from "../../images/build.ts";
import { makeContentDisk } from "../kit/guestnode/content.ts";
import { GuestNode, type GuestNodeOptions } from "../kit/guestnode/guestnode.ts";
import { TWO_SOCKETS } from "../kit/guest/qemu.ts";
import { Cluster } from "../kit/node/cluster.ts";
import { Helm, RELEASE } from "../kit/node/helm.ts";
import { until } from "../kit/node/processes.ts";
import { pod } from "../node/objects.ts";
import { Oracle, LSCPU } from "../runtime/guest/oracle.ts";
import { isReady, type Claim, type Device, type Pod, type Slice } from "./objects.ts";
import { Holdings, LOOK, PARTITIONS } from "./views.ts";

export { until };

/** What waits for an emulated machine may take. */
export const SLOW = 300_000;
/** Each look is a kubectl, which takes from the emulation what it needs. */
const EVERY = 2000;
const NODES = ["large", "small"] as const;
export type NodeName = (typeof NODES)[number];

/** The cluster, the guests that are its nodes, and the product as helm installs it on them. */
export class GuestWorld {
  readonly cluster = new Cluster(NODES);
  readonly helm = new Helm(this.cluster);
  readonly #guests = new Map<NodeName, GuestNode>();
  #content = "";
  #settings: readonly string[] | undefined;
  isStopped = false;

  async start(): Promise<void> {
    const began = Date.now();
    const images = join(this.cluster.dir, "images");
    mkdirSync(images);
    this.#content = join(images, "content.ext4");
    await this.cluster.startControlPlane();
    const built = await buildImages(images);
    await makeContentDisk([built.archive], this.#content);
    console.log(`    cluster and content of nodes: ${seconds(began)}`);
  }

  /** The node of 16 CPUs, with a pod `shared` that has no claim; unless it is there already. */
  async large(): Promise<Oracle> {
    if (!this.#guests.has("large")) {
      await this.join("large", { kernel: "6.12", shape: TWO_SOCKETS });
      await this.createPods(["shared"]);
      await this.firsts(["shared"]);
    }
    return this.oracle("large");
  }

  /** A guest boots and joins. */
  async join(name: NodeName, options: Pick<GuestNodeOptions, "kernel" | "shape" | "kubelet">): Promise<void> {
    const began = Date.now();
    const number = NODES.indexOf(name) + 1;
    const guest = new GuestNode(this.cluster, { name, number, content: this.#content, ...options });
    this.#guests.set(name, guest);
    await guest.start();
    const booted = seconds(began);
    await this.cluster.nodesReady([name], SLOW);
    console.log(`    ${name}: booted in ${booted}, Ready in ${seconds(began)}`);
  }

  guest(name: NodeName): GuestNode {
    const guest = this.#guests.get(name);
    if (guest === undefined) throw new Error(`${name} has not joined`);
    return guest;
  }

  get guests(): readonly GuestNode[] {
    return [...this.#guests.values()];
  }

  /** What lscpu says of the machine. */
  async oracle(name: NodeName): Promise<Oracle> {
    return new Oracle(await this.guest(name).shell.run(`lscpu ${LSCPU}`));
  }

  /** Installs or upgrades, unless that is how it is already. @param settings of `config.driver`, as `groupBy=socket`; others have their defaults. */
  async settings(...settings: readonly string[]): Promise<void> {
    if (this.#settings?.join() === settings.join()) return;
    // What comes of it is waited for by the tests.
    const args = ["--wait=hookOnly", ...settings.flatMap((one) => ["--set", `config.driver.${one}`])];
    await (this.#settings === undefined ? this.helm.install(...args) : this.helm.upgrade("--reset-values", ...args));
    this.#settings = settings;
  }

  /** Returns when nodes are clean, or throws what helm says. */
  async uninstall(): Promise<void> {
    await this.helm.run("uninstall", RELEASE, "--timeout=250s");
    this.#settings = undefined;
  }

  /** Waits until a node offers such devices. @returns them. */
  async devicesBecome(node: NodeName, are: (devices: readonly Device[]) => boolean): Promise<readonly Device[]> {
    let last: readonly Device[] = [];
    return until(
      `other devices of ${node} than those that it had`,
      async () => {
        const { items } = await this.cluster.json<{ items: Slice[] }>("get", "resourceslices");
        last = items.filter((one) => one.spec.nodeName === node).flatMap((one) => one.spec.devices ?? []);
        return are(last) && last;
      },
      SLOW,
      EVERY,
    ).catch((cause: unknown) => {
      throw new Error(`${(cause as Error).message}; there are ${last.map((one) => one.name).join(" ") || "none"}`);
    });
  }

  async pods(): Promise<readonly Pod[]> {
    return (await this.cluster.json<{ items: Pod[] }>("get", "pods", "-A")).items;
  }

  /** What everybody says of a node now. @throws Error where two have one CPU. */
  async look(node: NodeName): Promise<Holdings> {
    const lists = await this.cluster.json<{ items: (Pod & Claim & Slice & { kind: string })[] }>(
      ...["get", "pods,resourceclaims,resourceslices", "-A"],
    );
    const [agent = "", kernel = ""] = (await this.guest(node).shell.run(LOOK)).split("\nKERNEL\n");
    const of = (kind: string): (Pod & Claim & Slice)[] => lists.items.filter((one) => one.kind === kind);
    const [pods, claims, slices] = [of("Pod"), of("ResourceClaim"), of("ResourceSlice")];
    const found = new Holdings(node, { pods, claims, slices, agent, kernel });
    const wrong = found.never();
    if (wrong.length > 0) throw new Broken(wrong.join("; "));
    return found;
  }

  /** Waits until everybody says the same of a node, and `also` holds. No CPU is ever seen with two. */
  async settled(node: NodeName, also: (found: Holdings) => boolean = () => true): Promise<Holdings> {
    let last: readonly string[] = [];
    let broken: Broken | undefined;
    const found = await until(
      `${node} is of one mind`,
      async () => {
        try {
          const now = await this.look(node);
          last = [...now.disagreements(), ...(also(now) ? [] : [`it holds ${now.held.toString()}`])];
          return last.length === 0 && now;
        } catch (cause) {
          if (!(cause instanceof Broken)) throw cause;
          broken = cause;
          return "broken";
        }
      },
      SLOW,
      EVERY,
    ).catch((cause: unknown) => {
      throw new Error(`${(cause as Error).message}; ${last.join("; ")}`);
    });
    if (found === "broken") throw broken ?? new Error("broken");
    return found;
  }

  /** CPUs of each partition that the kernel has on a node, as it says. */
  async partitions(node: NodeName): Promise<readonly string[]> {
    const text = await this.guest(node).shell.run(PARTITIONS);
    return text.split("\n").filter((line) => line !== "");
  }

  /** Waits until no CPU of any node is held, and the shared pod is everywhere. @param everywhere online CPUs of its node, where it is looked at. */
  async empty(everywhere?: CpuSet): Promise<void> {
    const isEverywhere = (found: Holdings): boolean =>
      everywhere === undefined || found.masksOf("shared").every((mask) => mask === everywhere.toString());
    for (const name of this.#guests.keys())
      await this.settled(name, (now) => now.held.isEmpty && now.claims.length === 0 && isEverywhere(now));
  }

  /** Pods of the test image; with a claim from the template of that name, if one is given. */
  async createEach(pods: readonly { readonly name: string; readonly template?: string }[]): Promise<void> {
    await this.cluster.apply(...pods.map((one) => pod(one)));
  }

  createPods(names: readonly string[], template?: string): Promise<void> {
    return this.createEach(names.map((name) => ({ name, ...(template === undefined ? {} : { template }) })));
  }

  /** Waits until these pods run, and returns what the first instruction of each saw as its CPUs. */
  async firsts(names: readonly string[]): Promise<ReadonlyMap<string, string>> {
    await until(
      `pods ${names.join(", ")} are ready`,
      async () => {
        const ready = (await this.pods()).filter(isReady);
        return names.every((name) => ready.some((one) => one.metadata.name === name));
      },
      SLOW,
      EVERY,
    );
    const seen = new Map<string, string>();
    for (const name of names)
      seen.set(
        name,
        await until(
          `the first words of pod ${name}`,
          async () => /Cpus_allowed_list:\s*(\S+)/.exec(await this.cluster.kubectl("logs", name))?.[1],
          SLOW,
          EVERY,
        ),
      );
    return seen;
  }

  /** What a new process in the pod's container may run on. */
  async inside(name: string): Promise<string> {
    const status = await this.cluster.kubectl("exec", name, "--", "cat", "/proc/self/status");
    return /Cpus_allowed_list:\s*(\S+)/.exec(status)?.[1] ?? "";
  }

  nodeOf(name: string): Promise<string> {
    return this.cluster.kubectl("get", "pod", name, "-o", "jsonpath={.spec.nodeName}");
  }

  /** Returns when they are gone. */
  async remove(...names: readonly string[]): Promise<void> {
    await this.cluster.kubectl("delete", "pod", "--wait=false", ...names);
    const left = async (): Promise<boolean> =>
      (await this.pods()).some((one) => one.metadata.namespace === "default" && names.includes(one.metadata.name));
    await until(`pods ${names.join(", ")} are gone`, async () => !(await left()), SLOW, EVERY);
  }

  /** Waits for what the scheduler says of a pod that it cannot place. */
  whyPending(name: string): Promise<string> {
    const path = 'jsonpath={.status.conditions[?(@.reason=="Unschedulable")].message}';
    return until(
      `pod ${name} is told to be unschedulable`,
      () => this.cluster.kubectl("get", "pod", name, "-o", path),
      SLOW,
      EVERY,
    );
  }

  async stop(): Promise<void> {
    if (this.isStopped) return;
    this.isStopped = true;
    for (const guest of this.guests) await guest.stop();
    await this.cluster.stop();
  }
}

/** A CPU with two. */
class Broken extends Error {
  override readonly name = "Broken";
}

export function seconds(since: number): string {
  return `${((Date.now() - since) / 1000).toFixed(1)} s`;
}
