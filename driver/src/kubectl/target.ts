import type { KubeConfig } from "@kubernetes/client-node";
import { DRIVER_NAME } from "@dracpu/shared-proto/contract/names.ts";
import { SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import type { Looked } from "../commands/look.ts";
import { PICTURE_LAYOUT, type Picture } from "../picture/picture.ts";
import type { Entry } from "../picture/timeline.ts";
import type { ClusterApi, PodView } from "./api.ts";
import { forward } from "./forward.ts";

const CALL_MS = 10_000;
const CLAIM = "claim/";

export interface Reach {
  readonly config: KubeConfig;
  readonly api: ClusterApi;
  /** Of the driver's pods. */
  readonly selector: string;
  readonly pagePort: number;
  /** For pods named without one. */
  readonly namespace: string;
}

/** What a person names, and where it is. */
export interface Found {
  readonly node: string;
  /** `NAMESPACE/POD`, and `/CONTAINER`; empty where a node was named, or a claim that no pod has. */
  readonly pod: string;
}

/**
 * A node by its name, or by a pod or a claim there: `NODE`, `POD`, `NAMESPACE/POD`, and `/CONTAINER`; `CLAIM`, `NAMESPACE/CLAIM`, and `claim/...` where a pod has the same name.
 *
 * @throws SettingsFault
 */
export async function nodeOf(reach: Reach, what: string): Promise<Found> {
  const isClaim = what.startsWith(CLAIM);
  const name = isClaim ? what.slice(CLAIM.length) : what;
  const found = (isClaim ? undefined : await podNamed(reach, name)) ?? (await claimNamed(reach, name));
  if (found !== undefined) return found;
  if (isClaim || name.includes("/"))
    throw new SettingsFault(`There is no ${isClaim ? "claim" : "pod or claim"} ${name}`);
  return { node: name, pod: "" };
}

async function podNamed(reach: Reach, what: string): Promise<Found | undefined> {
  const [first = "", second = ""] = what.split("/");
  const tries = what.includes("/")
    ? [
        [first, second],
        [reach.namespace, first],
      ]
    : [[reach.namespace, first]];
  for (const [namespace = "", name = ""] of tries) {
    const pod = await reach.api.pod(namespace, name);
    if (pod === undefined) continue;
    const node = pod.spec?.nodeName ?? "";
    if (node === "") throw new SettingsFault(`Pod ${namespace}/${name} is on no node yet`);
    const rest = namespace === first && second !== "" ? what.split("/").slice(2) : what.split("/").slice(1);
    return { node, pod: [namespace, name, ...rest].join("/") };
  }
  return undefined;
}

async function claimNamed(reach: Reach, what: string): Promise<Found | undefined> {
  const [namespace = "", name = ""] = what.includes("/") ? what.split("/") : [reach.namespace, what];
  const claim = await reach.api.claim(namespace, name);
  if (claim === undefined) return undefined;
  const results = claim.status?.allocation?.devices?.results ?? [];
  const own = results.find((one) => one.driver === DRIVER_NAME);
  if (own === undefined)
    throw new SettingsFault(
      `Claim ${namespace}/${name} has no CPUs: ${results.length === 0 ? "it is not allocated yet" : `its devices are of ${results[0]?.driver ?? ""}`}`,
    );
  const pod = claim.status?.reservedFor?.find((one) => one.resource === "pods")?.name;
  return { node: own.pool, pod: pod === undefined ? "" : `${namespace}/${pod}` };
}

/** @throws SettingsFault where no driver runs on the node. */
export async function driverOn(reach: Reach, node: string): Promise<PodView> {
  const pods = await reach.api.drivers(node, reach.selector);
  const running = pods.find((pod) => pod.status?.phase === "Running");
  if (running !== undefined) return running;
  const why =
    pods.length === 0 ? `there is none with labels ${reach.selector}` : `it is ${pods[0]?.status?.phase ?? ""}`;
  throw new SettingsFault(
    `No pod of the driver runs on ${node}: ${why}; it is neither a node with the driver nor a pod of namespace ${reach.namespace}`,
  );
}

/** The way to a node's driver, for as many looks as are wanted; it outlives the driver's pod. */
export interface Way {
  /** What the node's driver shows now. @throws Error with a sentence. */
  ask(): Promise<Looked>;
  close(): void;
}

/** @throws SettingsFault where no driver runs on the node. */
export async function wayTo(reach: Reach, node: string): Promise<Way> {
  let pod = await driverOn(reach, node);
  let why = "";
  const way = await forward(
    reach.config,
    async () => (pod = await driverOn(reach, node)),
    reach.pagePort,
    0,
    (fault) => (why = fault),
  );
  const get = async (path: string): Promise<unknown> => {
    const response = await fetch(`http://127.0.0.1:${way.port}${path}`, { signal: AbortSignal.timeout(CALL_MS) });
    return response.json();
  };
  return {
    close: () => way.close(),
    ask: async () => {
      try {
        why = "";
        const picture = (await get("/picture")) as Picture;
        const layout: string = picture.layout;
        if (layout !== PICTURE_LAYOUT)
          throw new SettingsFault(
            `The driver on ${node} (${picture.driver.version}) draws ${layout}, this plugin reads ${PICTURE_LAYOUT}; use the plugin of its release`,
          );
        return { picture, entries: ((await get("/entries")) as { entries: Entry[] }).entries };
      } catch (cause) {
        if (cause instanceof SettingsFault) throw cause;
        throw new Error(
          `Cannot ask the driver on ${node} (pod ${pod.metadata.namespace}/${pod.metadata.name}, port ${reach.pagePort}): ${why === "" ? (cause as Error).message : why}`,
          { cause },
        );
      }
    },
  };
}

/** What the node's driver shows. */
export async function askNode(reach: Reach, node: string): Promise<Looked> {
  const way = await wayTo(reach, node);
  try {
    return await way.ask();
  } finally {
    way.close();
  }
}
