import type { KubeConfig } from "@kubernetes/client-node";
import { SettingsFault } from "@dracpu/shared-proto/settings/settings.ts";
import { PICTURE_LAYOUT, type Picture } from "../picture/picture.ts";
import type { Entry } from "../picture/timeline.ts";
import type { ClusterApi, PodView } from "./api.ts";
import { forward } from "./forward.ts";

const CALL_MS = 10_000;

export interface Reach {
  readonly config: KubeConfig;
  readonly api: ClusterApi;
  /** Of the driver's pods. */
  readonly selector: string;
  readonly pagePort: number;
  /** For pods named without one. */
  readonly namespace: string;
}

/** A node by its name, or by a pod that runs there: `NODE`, `POD`, `NAMESPACE/POD`, and `/CONTAINER`. */
export async function nodeOf(reach: Reach, what: string): Promise<{ readonly node: string; readonly pod: string }> {
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
  if (what.includes("/")) throw new SettingsFault(`There is no pod ${what}`);
  return { node: what, pod: "" };
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

/** What the node's driver shows. */
export async function askNode(
  reach: Reach,
  node: string,
): Promise<{ readonly picture: Picture; readonly entries: readonly Entry[] }> {
  const pod = await driverOn(reach, node);
  let why = "";
  const way = await forward(
    reach.config,
    () => Promise.resolve(pod),
    reach.pagePort,
    0,
    (fault) => (why = fault),
  );
  try {
    const get = async (path: string): Promise<unknown> => {
      const response = await fetch(`http://127.0.0.1:${way.port}${path}`, { signal: AbortSignal.timeout(CALL_MS) });
      return response.json();
    };
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
  } finally {
    way.close();
  }
}
