import { Backoff, pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { ResourceClaim } from "../claims/resourceclaim.ts";
import type { ClaimReader, PrepareLog } from "../prepare/ports.ts";
import type { SliceApi, SliceEvent, StoredSlice } from "../publish/ports.ts";
import type { ResourceSlice } from "../slices/device.ts";
import { ApiFault, ApiHttp, type ApiRequest } from "./http.ts";

const RESOURCE = "/apis/resource.k8s.io/v1";
const FIELD_MANAGER = "dra.cpu";
const CALL_MS = 10_000;
/** The server ends a watch after this long; then it is opened again where it ended. */
const WATCH_SECONDS = 290;

interface List {
  readonly metadata: { readonly resourceVersion: string; readonly continue?: string };
  readonly items: readonly StoredSlice[] | null;
}

/** What the driver asks of the API server: claims by GET, its own node, its own slices. */
export class ApiServer implements ClaimReader, SliceApi {
  readonly #http: ApiHttp;
  readonly #log: PrepareLog;

  constructor(http: ApiHttp, log: PrepareLog) {
    this.#http = http;
    this.#log = log;
  }

  async get(namespace: string, name: string, signal: AbortSignal): Promise<ResourceClaim | undefined> {
    const path = `${RESOURCE}/namespaces/${encodeURIComponent(namespace)}/resourceclaims/${encodeURIComponent(name)}`;
    const backoff = new Backoff(100, 2000);
    for (;;) {
      try {
        return await this.#http.json<ResourceClaim>(this.#bounded({ method: "GET", path, signal }));
      } catch (cause) {
        if (!(cause instanceof ApiFault)) throw cause;
        if (cause.code === 404) return undefined;
        if (!cause.isTransient || signal.aborted) throw cause;
        await pause(Math.max(backoff.nextMs(), Math.min(cause.retryAfterMs, 5000)), signal);
        if (signal.aborted) throw cause;
      }
    }
  }

  async nodeUid(name: string, signal: AbortSignal): Promise<string> {
    const path = `/api/v1/nodes/${encodeURIComponent(name)}`;
    const node = await this.#http.json<{ metadata: { uid: string } }>(this.#bounded({ method: "GET", path, signal }));
    return node.metadata.uid;
  }

  apply(slice: ResourceSlice, dryRun: boolean, signal: AbortSignal): Promise<StoredSlice> {
    return this.#http.json<StoredSlice>(
      this.#bounded({
        method: "PATCH",
        path: `${RESOURCE}/resourceslices/${encodeURIComponent(slice.metadata.name)}`,
        query: { fieldManager: FIELD_MANAGER, force: "true", ...(dryRun ? { dryRun: "All" } : {}) },
        body: slice,
        contentType: "application/apply-patch+yaml",
        signal,
      }),
    );
  }

  async remove(slice: StoredSlice, signal: AbortSignal): Promise<void> {
    const { name, uid, resourceVersion } = slice.metadata;
    try {
      await this.#http.json<unknown>(
        this.#bounded({
          method: "DELETE",
          path: `${RESOURCE}/resourceslices/${encodeURIComponent(name)}`,
          body: { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid, resourceVersion } },
          signal,
        }),
      );
    } catch (cause) {
      if (!(cause instanceof ApiFault) || cause.code !== 404) throw cause;
    }
  }

  /** List, then watch, for ever. Our own loop: client-node's informer stops at the first error that is not 410. */
  async *watch(driver: string, nodeName: string, signal: AbortSignal): AsyncGenerator<SliceEvent> {
    const fieldSelector = `spec.driver=${driver},spec.nodeName=${nodeName}`;
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
        for await (const event of this.#watchFrom(fieldSelector, version, signal)) {
          version = event.object.metadata.resourceVersion;
          if (event.type === "DELETED") yield { kind: "deleted", slice: event.object };
          else if (event.type !== "BOOKMARK") yield { kind: "changed", slice: event.object };
          backoff.reset();
          said = "";
        }
      } catch (cause) {
        if (signal.aborted) return;
        if (!(cause instanceof ApiFault)) throw cause;
        if (cause.code === 410) version = "";
        else if (cause.message !== said) {
          said = cause.message;
          this.#log.warn("the watch of this node's ResourceSlices broke; trying again", { cause: said });
        }
        await pause(Math.max(backoff.nextMs(), cause.retryAfterMs), signal);
      }
    }
  }

  async #list(fieldSelector: string, signal: AbortSignal): Promise<{ version: string; slices: StoredSlice[] }> {
    const slices: StoredSlice[] = [];
    let next = "";
    for (;;) {
      const page = await this.#http.json<List>(
        this.#bounded({
          method: "GET",
          path: `${RESOURCE}/resourceslices`,
          query: { fieldSelector, limit: "100", ...(next === "" ? {} : { continue: next }) },
          signal,
        }),
      );
      slices.push(...(page.items ?? []));
      next = page.metadata.continue ?? "";
      if (next === "") return { version: page.metadata.resourceVersion, slices };
    }
  }

  async *#watchFrom(
    fieldSelector: string,
    resourceVersion: string,
    signal: AbortSignal,
  ): AsyncGenerator<{ type: string; object: StoredSlice }> {
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
      const event = line as { type: string; object: StoredSlice & { code?: number; message?: string } };
      if (event.type === "ERROR") {
        throw new ApiFault(
          event.object.code ?? 0,
          "Watch",
          `the watch ended: ${event.object.message ?? "no reason given"}`,
        );
      }
      yield event;
    }
  }

  #bounded(request: ApiRequest): ApiRequest {
    return { ...request, signal: AbortSignal.any([request.signal, AbortSignal.timeout(CALL_MS)]) };
  }
}
