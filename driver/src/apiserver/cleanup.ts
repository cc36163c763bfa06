import type { CleanUpProgress } from "../uninstall/ports.ts";
import type { ApiHttp } from "./http.ts";

interface DaemonSet {
  readonly metadata: { readonly generation: number };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly desiredNumberScheduled?: number;
    readonly numberReady?: number;
  };
}

interface Pods {
  readonly items: readonly {
    readonly metadata: { readonly name: string };
    readonly spec: { readonly nodeName?: string };
    readonly status: {
      readonly phase?: string;
      readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
    };
  }[];
}

/** How far the pods of a DaemonSet are, by the DaemonSet and its pods. @throws ApiFault */
export async function cleanUpProgress(
  http: ApiHttp,
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<CleanUpProgress> {
  const base = (group: string): string => `${group}/namespaces/${encodeURIComponent(namespace)}`;
  const get = <T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T> =>
    http.json<T>({ method: "GET", path, query, signal });
  const set = await get<DaemonSet>(`${base("/apis/apps/v1")}/daemonsets/${encodeURIComponent(name)}`);
  const { items } = await get<Pods>(`${base("/api/v1")}/pods`, { labelSelector: `dra.cpu/clean-up=${name}` });
  const { observedGeneration = 0, desiredNumberScheduled = 0, numberReady = 0 } = set.status ?? {};
  if (observedGeneration < set.metadata.generation) throw new Error("the clean-up was not given to the nodes yet");
  const behind = items.flatMap(({ metadata, spec, status }) => {
    const ready = status.conditions?.find((one) => one.type === "Ready");
    if (ready?.status === "True") return [];
    return `node ${spec.nodeName ?? "(none)"} (pod ${metadata.name}: ${ready?.message ?? status.phase ?? "unknown"})`;
  });
  return { wanted: desiredNumberScheduled, ready: numberReady, behind };
}
