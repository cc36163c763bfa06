import { Backoff, pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { within } from "@dracpu/shared-proto/lifecycle/within.ts";
import type { ResourceClaim } from "../claims/resourceclaim.ts";
import type { ClaimReader, PrepareLog } from "../prepare/ports.ts";
import type { SliceApi, SliceEvent, StoredSlice } from "../publish/ports.ts";
import type { DeviceStatus } from "../report/claimstatus.ts";
import type { EventApi, KubernetesEvent, StatusApi } from "../report/ports.ts";
import type { PodClaims } from "../report/requests.ts";
import type { AllocatedClaims } from "../uninstall/ports.ts";
import type { ResourceSlice } from "../slices/device.ts";
import { ApiFault, type ApiRequest } from "./fault.ts";
import type { ApiHttp } from "./http.ts";
import { claimOf, keptMilliOf, labelsOf, objectOf, pageOf, sliceOf, versionOf, watchEventOf } from "./shapes.ts";

const RESOURCE = "/apis/resource.k8s.io/v1";
const FIELD_MANAGER = "dra.cpu";
const CALL_MS = 10_000;
/** Longest pause that a server's Retry-After is granted. */
const RETRY_AFTER_MAX_MS = 30_000;
/** The server ends a watch after this long; then it is opened again where it ended. */
const WATCH_SECONDS = 290;

/** What the driver asks of the API server: claims by GET, its own node, its own slices, and Events to write. */
export class ApiServer implements ClaimReader, SliceApi, EventApi, StatusApi, AllocatedClaims {
  readonly #http: ApiHttp;
  readonly #log: PrepareLog;

  constructor(http: ApiHttp, log: PrepareLog) {
    this.#http = http;
    this.#log = log;
  }

  async get(namespace: string, name: string, signal: AbortSignal): Promise<ResourceClaim | undefined> {
    const path = `${RESOURCE}/namespaces/${encodeURIComponent(namespace)}/resourceclaims/${encodeURIComponent(name)}`;
    const backoff = new Backoff(100, 2000);
    let answered: ApiFault | undefined;
    for (;;) {
      try {
        const request: ApiRequest = { method: "GET", path, signal };
        return claimOf(request, await this.#json<unknown>(request));
      } catch (cause) {
        if (!(cause instanceof ApiFault)) throw cause;
        if (cause.isGone("resourceclaims", name)) return undefined;
        if (!cause.isTransient) throw cause;
        if (cause.code !== 0 || cause.reason === "BadBody") answered = cause;
        await pause(Math.max(backoff.nextMs(), Math.min(cause.retryAfterMs, 5000)), signal);
        // A request without an answer says less than the last answer.
        if (signal.aborted) throw answered ?? cause;
      }
    }
  }

  async find(uids: ReadonlySet<string>, signal: AbortSignal): Promise<ResourceClaim[]> {
    const found: ResourceClaim[] = [];
    await this.#pages("resourceclaims", {}, signal, claimOf, (claim) => {
      if (uids.has(claim.metadata.uid)) found.push(claim);
    });
    return found;
  }

  async allocated(signal: AbortSignal): Promise<ResourceClaim[]> {
    const found: ResourceClaim[] = [];
    await this.#pages("resourceclaims", {}, signal, claimOf, (claim) => {
      if (claim.status?.allocation !== undefined) found.push(claim);
    });
    return found;
  }

  async nodeUid(name: string, signal: AbortSignal): Promise<string> {
    const { request, body } = await this.#node(name, signal);
    return objectOf(request, body).uid;
  }

  async nodeLabels(name: string, signal: AbortSignal): Promise<Readonly<Record<string, string>>> {
    const { request, body } = await this.#node(name, signal);
    return labelsOf(request, body);
  }

  /** Its capacity less what is allocatable, in thousandths of a CPU. */
  async nodeKeepsMilli(name: string, signal: AbortSignal): Promise<number> {
    const { request, body } = await this.#node(name, signal);
    return keptMilliOf(request, body);
  }

  async #node(name: string, signal: AbortSignal): Promise<{ request: ApiRequest; body: unknown }> {
    const request: ApiRequest = { method: "GET", path: `/api/v1/nodes/${encodeURIComponent(name)}`, signal };
    return { request, body: await this.#json<unknown>(request) };
  }

  async apply(slice: ResourceSlice, dryRun: boolean, signal: AbortSignal): Promise<StoredSlice> {
    const request: ApiRequest = {
      method: "PATCH",
      path: `${RESOURCE}/resourceslices/${encodeURIComponent(slice.metadata.name)}`,
      query: { fieldManager: FIELD_MANAGER, force: "true", ...(dryRun ? { dryRun: "All" } : {}) },
      body: slice,
      contentType: "application/apply-patch+yaml",
      signal,
    };
    return sliceOf(request, await this.#json<unknown>(request));
  }

  async remove(slice: StoredSlice, signal: AbortSignal): Promise<void> {
    const { name, uid, resourceVersion } = slice.metadata;
    try {
      await this.#json<unknown>({
        method: "DELETE",
        path: `${RESOURCE}/resourceslices/${encodeURIComponent(name)}`,
        body: { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid, resourceVersion } },
        signal,
      });
    } catch (cause) {
      if (!(cause instanceof ApiFault) || !cause.isGone("resourceslices", name)) throw cause;
    }
  }

  async write(event: KubernetesEvent, signal: AbortSignal): Promise<void> {
    const path = `/api/v1/namespaces/${encodeURIComponent(event.metadata.namespace)}/events`;
    await this.#json<unknown>({ method: "POST", path, body: event, signal });
  }

  async pod(namespace: string, name: string, signal: AbortSignal): Promise<PodClaims> {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
    const request: ApiRequest = { method: "GET", path, signal };
    const body = await this.#json<unknown>(request);
    objectOf(request, body);
    return body as PodClaims;
  }

  async devices(claim: ResourceClaim, devices: readonly DeviceStatus[], signal: AbortSignal): Promise<void> {
    const { namespace, name, uid } = claim.metadata;
    const path = `${RESOURCE}/namespaces/${encodeURIComponent(namespace)}/resourceclaims/${encodeURIComponent(name)}/status`;
    const body = {
      apiVersion: "resource.k8s.io/v1",
      kind: "ResourceClaim",
      // With its uid, another claim of that name is left alone.
      metadata: { namespace, name, uid },
      status: { devices },
    };
    const query = { fieldManager: FIELD_MANAGER, force: "true" };
    const contentType = "application/apply-patch+yaml";
    await this.#json<unknown>({ method: "PATCH", path, query, body, contentType, signal });
  }

  async list(driver: string, nodeName: string, signal: AbortSignal): Promise<StoredSlice[]> {
    return (await this.#list(selector(driver, nodeName), signal)).slices;
  }

  /** List, then watch, for ever. Our own loop: client-node's informer stops at the first error that is not 410. */
  async *watch(driver: string, nodeName: string, signal: AbortSignal): AsyncGenerator<SliceEvent> {
    const fieldSelector = selector(driver, nodeName);
    const backoff = new Backoff(200, 10_000);
    let said = "";
    let version = "";
    while (!signal.aborted) {
      try {
        if (version === "") {
          const listed = await this.#list(fieldSelector, signal);
          version = listed.version;
          yield { kind: "list", slices: listed.slices };
        }
        let isEmpty = true;
        for await (const event of this.#watchFrom(fieldSelector, version, signal)) {
          isEmpty = false;
          version = event.version;
          if (event.change !== undefined) yield event.change;
          backoff.reset();
          said = "";
        }
        // A server that ends it at once is not asked as fast as it answers.
        if (isEmpty) await pause(backoff.nextMs(), signal);
      } catch (cause) {
        if (signal.aborted) return;
        if (!(cause instanceof ApiFault)) throw cause;
        // What cannot be understood may be the state itself: it is read anew.
        if (cause.code === 410 || cause.reason === "BadBody") version = "";
        if (cause.code !== 410 && cause.message !== said) {
          said = cause.message;
          this.#log.warn("the watch of this node's ResourceSlices broke; trying again", { cause: said });
        }
        await pause(Math.max(backoff.nextMs(), Math.min(cause.retryAfterMs, RETRY_AFTER_MAX_MS)), signal);
      }
    }
  }

  async #list(fieldSelector: string, signal: AbortSignal): Promise<{ version: string; slices: StoredSlice[] }> {
    const slices: StoredSlice[] = [];
    const version = await this.#pages("resourceslices", { fieldSelector }, signal, sliceOf, (one) => slices.push(one));
    return { version, slices };
  }

  async #pages<T>(
    resource: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
    read: (request: ApiRequest, item: unknown) => T,
    each: (item: T) => void,
  ): Promise<string> {
    let next = "";
    for (;;) {
      const request: ApiRequest = {
        method: "GET",
        path: `${RESOURCE}/${resource}`,
        query: { ...query, limit: "100", ...(next === "" ? {} : { continue: next }) },
        signal,
      };
      const page = pageOf(request, await this.#json<unknown>(request), read);
      for (const item of page.items) each(item);
      next = page.next;
      if (next === "") return page.version;
    }
  }

  async *#watchFrom(
    fieldSelector: string,
    resourceVersion: string,
    signal: AbortSignal,
  ): AsyncGenerator<{ version: string; change: SliceEvent | undefined }> {
    const request: ApiRequest = {
      method: "GET",
      path: `${RESOURCE}/resourceslices`,
      query: {
        watch: "true",
        fieldSelector,
        resourceVersion,
        allowWatchBookmarks: "true",
        timeoutSeconds: String(WATCH_SECONDS),
      },
      // A little longer than the server's own end, so that a peer that hangs is noticed.
      signal: AbortSignal.any([signal, AbortSignal.timeout((WATCH_SECONDS + 30) * 1000)]),
    };
    for await (const line of this.#http.lines(request)) {
      const { type, object } = watchEventOf(request, line);
      if (type === "ERROR") {
        const { code, message } = object as { code?: number; message?: string };
        throw new ApiFault(code ?? 0, "Watch", `the watch ended: ${message ?? "no reason given"}`);
      }
      const version = versionOf(request, object);
      if (type === "BOOKMARK") yield { version, change: undefined };
      else {
        yield {
          version,
          change: { kind: type === "DELETED" ? "deleted" : "changed", slice: sliceOf(request, object) },
        };
      }
    }
  }

  #json<T>(request: ApiRequest): Promise<T> {
    return within(CALL_MS, [request.signal], (signal) => this.#http.json<T>({ ...request, signal }));
  }
}

function selector(driver: string, nodeName: string): string {
  return `spec.driver=${driver},spec.nodeName=${nodeName}`;
}
