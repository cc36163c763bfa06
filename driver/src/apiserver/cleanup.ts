import type { CleanUpProgress, DaemonSetName } from "../uninstall/ports.ts";
import { ApiFault } from "./fault.ts";
import type { ApiHttp } from "./http.ts";

type Http = Pick<ApiHttp, "json">;

interface DaemonSet {
  readonly metadata: { readonly generation: number };
  readonly spec: { readonly selector: { readonly matchLabels?: Readonly<Record<string, string>> } };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly desiredNumberScheduled?: number;
    readonly numberReady?: number;
  };
}

interface Pod {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly nodeName?: string };
  readonly status: {
    readonly phase?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
}

/** How far the pods of a DaemonSet are, by the DaemonSet and its pods. @throws ApiFault */
export async function cleanUpProgress(http: Http, of: DaemonSetName, signal: AbortSignal): Promise<CleanUpProgress> {
  const { set, pods } = await lookAt(http, of, signal);
  const { observedGeneration = 0, desiredNumberScheduled = 0, numberReady = 0 } = set.status ?? {};
  if (observedGeneration < set.metadata.generation) throw new Error("the clean-up was not given to the nodes yet");
  const behind = pods.flatMap(({ metadata, spec, status }) => {
    const condition = (type: string) => status.conditions?.find((one) => one.type === type);
    const ready = condition("Ready");
    if (ready?.status === "True") return [];
    const why = ready?.message ?? condition("PodScheduled")?.message ?? status.phase ?? "unknown";
    return `node ${spec.nodeName ?? "(none yet)"} (pod ${metadata.name}: ${why})`;
  });
  const without = desiredNumberScheduled - pods.length;
  if (without > 0) {
    const look = `kubectl -n ${of.namespace} describe daemonset ${of.name}`;
    behind.push(`${without} for which there is no pod: the DaemonSet's Events say why (${look})`);
  }
  return { wanted: desiredNumberScheduled, ready: numberReady, behind, nodes: nodesOf(pods) };
}

/**
 * @returns nodes that have a pod of the DaemonSet; `undefined` where there is no such DaemonSet, or it has not all its pods just now, so that nothing is known of its nodes.
 * @throws ApiFault
 */
export async function nodesWithPod(
  http: Http,
  of: DaemonSetName,
  signal: AbortSignal,
): Promise<ReadonlySet<string> | undefined> {
  try {
    const { set, pods } = await lookAt(http, of, signal);
    const { observedGeneration = 0, desiredNumberScheduled = 0 } = set.status ?? {};
    const nodes = new Set(nodesOf(pods));
    return observedGeneration < set.metadata.generation || nodes.size < desiredNumberScheduled ? undefined : nodes;
  } catch (cause) {
    if (cause instanceof ApiFault && cause.isGone("daemonsets", of.name)) return undefined;
    throw cause;
  }
}

/** Deletes the clean-up's ConfigMap, its pods' account and the DaemonSet, as the chart names them; what is gone is no fault. @throws ApiFault */
export async function removeCleanUp(http: Http, of: DaemonSetName, signal: AbortSignal): Promise<void> {
  for (const [group, resource, name] of [
    ["/api/v1", "configmaps", of.name],
    ["/api/v1", "serviceaccounts", `${of.name}-clean`],
    ["/apis/apps/v1", "daemonsets", of.name],
  ] as const) {
    const path = `${inNamespace(group, of)}/${resource}/${encodeURIComponent(name)}`;
    const body = { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Background" };
    try {
      await http.json<unknown>({ method: "DELETE", path, body, signal });
    } catch (cause) {
      // A chart from before these pods had an account of their own gives no right to delete it, and has made none.
      const isOfOlderChart = resource === "serviceaccounts" && cause instanceof ApiFault && cause.code === 403;
      if (!isOfOlderChart && !(cause instanceof ApiFault && cause.isGone(resource, name))) throw cause;
    }
  }
}

async function lookAt(http: Http, of: DaemonSetName, signal: AbortSignal): Promise<{ set: DaemonSet; pods: Pod[] }> {
  const get = <T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> =>
    http.json<T>({ method: "GET", path, query, signal });
  const set = await get<DaemonSet>(`${inNamespace("/apis/apps/v1", of)}/daemonsets/${encodeURIComponent(of.name)}`);
  const labels = Object.entries(set.spec.selector.matchLabels ?? {});
  const labelSelector = labels.map(([key, value]) => `${key}=${value}`).join(",");
  const { items } = await get<{ items: Pod[] }>(`${inNamespace("/api/v1", of)}/pods`, { labelSelector });
  return { set, pods: items };
}

function nodesOf(pods: readonly Pod[]): string[] {
  return pods.flatMap(({ spec }) => spec.nodeName ?? []);
}

function inNamespace(group: string, { namespace }: DaemonSetName): string {
  return `${group}/namespaces/${encodeURIComponent(namespace)}`;
}
