import type { KubeConfig } from "@kubernetes/client-node";
import { ApiFault, type ApiRequest } from "../apiserver/fault.ts";
import { ApiHttp } from "../apiserver/http.ts";
import type { ResourceClaim } from "../claims/resourceclaim.ts";
import type { PublishedSlice } from "../cluster/cluster.ts";

const CALL_MS = 15_000;
const LOG_BYTES = 8 << 20;
const RESOURCE = "/apis/resource.k8s.io/v1";

/** The part of a pod that is looked at (k8s.io/api v0.36.3, core/v1/types.go). */
export interface PodView {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec?: {
    readonly nodeName?: string;
    readonly initContainers?: readonly { readonly name: string }[];
    readonly containers?: readonly { readonly name: string }[];
  };
  readonly status?: { readonly phase?: string };
}

/** What the plugin asks of the API server: get and list, nothing else. */
export class ClusterApi {
  readonly #http: ApiHttp;

  constructor(config: KubeConfig) {
    this.#http = new ApiHttp(config);
  }

  slices(): Promise<PublishedSlice[]> {
    return this.#all<PublishedSlice>(`${RESOURCE}/resourceslices`);
  }

  claims(): Promise<ResourceClaim[]> {
    return this.#all<ResourceClaim>(`${RESOURCE}/resourceclaims`);
  }

  /** `undefined` where there is none. */
  pod(namespace: string, name: string): Promise<PodView | undefined> {
    const at = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
    return this.#maybe<PodView>(at);
  }

  /** `undefined` where there is none. */
  claim(namespace: string, name: string): Promise<ResourceClaim | undefined> {
    const at = `${RESOURCE}/namespaces/${encodeURIComponent(namespace)}/resourceclaims/${encodeURIComponent(name)}`;
    return this.#maybe<ResourceClaim>(at);
  }

  /** Pods of the driver that run on a node, in whatever namespace. */
  drivers(node: string, selector: string): Promise<PodView[]> {
    return this.#all<PodView>("/api/v1/pods", { labelSelector: selector, fieldSelector: `spec.nodeName=${node}` });
  }

  /** The end of a container's log, of this life of it or of the one before. @throws ApiFault */
  log(pod: PodView, container: string, previous: boolean): Promise<string> {
    const { namespace, name } = pod.metadata;
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/log`;
    return this.#http.text(bounded(path, { container, previous: String(previous), limitBytes: String(LOG_BYTES) }));
  }

  async #maybe<T>(path: string): Promise<T | undefined> {
    try {
      return await this.#http.json<T>(bounded(path));
    } catch (cause) {
      if (cause instanceof ApiFault && cause.code === 404) return undefined;
      throw cause;
    }
  }

  async #all<T>(path: string, query: Readonly<Record<string, string>> = {}): Promise<T[]> {
    const items: T[] = [];
    for (let next = ""; ;) {
      const more = next === "" ? {} : { continue: next };
      const page = await this.#http.json<{ items?: T[] | null; metadata?: { continue?: string } }>(
        bounded(path, { ...query, limit: "500", ...more }),
      );
      items.push(...(page.items ?? []));
      next = page.metadata?.continue ?? "";
      if (next === "") return items;
    }
  }
}

function bounded(path: string, query: Readonly<Record<string, string>> = {}): ApiRequest {
  return { method: "GET", path, query, signal: AbortSignal.timeout(CALL_MS) };
}
