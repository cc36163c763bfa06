import { randomUUID } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { FakePortForward } from "./portforward.ts";
import type { ResourceClaim } from "@dracpu/driver/claims/resourceclaim.ts";
import type { StoredSlice } from "@dracpu/driver/publish/ports.ts";
import type { KubernetesEvent } from "@dracpu/driver/report/ports.ts";
import type { ResourceSlice } from "@dracpu/driver/slices/device.ts";

const API = "/apis/resource.k8s.io/v1";

/** What the next requests get instead of an answer. `code` 0: the connection is cut. */
export interface Fault {
  readonly code: number;
  readonly message: string;
  readonly retryAfter?: number;
}

/**
 * The few paths of an API server that the driver asks: claims and nodes by GET, slices by list, watch, apply and delete, with resource versions,
 * dry runs, preconditions and watches that end or expire. Plain HTTP; the transport with certificates is the real node's to show.
 */
export class FakeApiServer {
  readonly claims = new Map<string, ResourceClaim>();
  readonly slices = new Map<string, StoredSlice>();
  readonly requests: string[] = [];
  readonly events: KubernetesEvent[] = [];
  /** By name. */
  readonly pods = new Map<string, object>();
  /** Pods of this product, as a list of all pods by label finds them. */
  driverPods: object[] = [];
  readonly portForward = new FakePortForward();
  /** Text in place of the next lists of slices, a success in HTTP's eyes. */
  oddList: string | undefined;
  readonly nodeUid = randomUUID();
  nodeLabels: Readonly<Record<string, string>> = {};
  /** As a server without the feature gate of shared devices: the field is dropped without a word. */
  dropsSharedDevices = false;
  endsWatchesAtOnce = false;
  /** Requests get no answer at all. */
  silent = false;
  fault: Fault | undefined;
  /** Which requests `fault` is for. */
  faulty: (method: string, path: string) => boolean = () => true;
  readonly #watches = new Set<ServerResponse>();
  readonly #server: Server = createServer((request, response) => {
    this.#serve(request, response).catch((cause: unknown) => {
      response.destroy(cause as Error);
    });
  });
  /** Every change, for watches that begin at a version. */
  readonly #history: { readonly version: number; readonly line: string }[] = [];
  #version = 1;

  async listen(): Promise<void> {
    this.#server.on("upgrade", (request, socket, head: Buffer) => this.portForward.upgrade(request, socket, head));
    await new Promise<void>((resolve) => {
      this.#server.listen(0, "127.0.0.1", resolve);
    });
  }

  /** A kubeconfig for this server. @returns its path. */
  kubeconfig(path: string): string {
    const server = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    const name = "fake";
    writeFileSync(
      path,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        "current-context": name,
        // The client speaks plain HTTP only where nothing is verified.
        clusters: [{ name, cluster: { server, "insecure-skip-tls-verify": true } }],
        users: [{ name, user: {} }],
        contexts: [{ name, context: { cluster: name, user: name } }],
      }),
    );
    return path;
  }

  /** Ends every watch; `expired` as after a compaction. */
  endWatches(expired = false): void {
    for (const watch of this.#watches) {
      const object = { kind: "Status", code: 410, reason: "Expired", message: "too old resource version" };
      watch.end(expired ? `${JSON.stringify({ type: "ERROR", object })}\n` : "");
    }
    this.#watches.clear();
  }

  /** A line of every watch that no server should write. @returns whether there was a watch to tell. */
  tellOdd(line: string): boolean {
    for (const watch of this.#watches) watch.write(`${line}\n`);
    return this.#watches.size > 0;
  }

  /** Somebody else writes a slice after each of the driver's applies. */
  meddler: ((slice: StoredSlice) => StoredSlice) | undefined;

  /** Somebody else deletes a slice. */
  deleteSlice(name: string): void {
    const slice = this.slices.get(name);
    if (slice === undefined) throw new Error(`no slice ${name}`);
    this.slices.delete(name);
    this.#tell("DELETED", this.#stamped(slice));
  }

  podsOn(query: URLSearchParams): object[] {
    const node = (query.get("fieldSelector") ?? "").replace("spec.nodeName=", "");
    return this.driverPods.filter((pod) => (pod as { spec?: { nodeName?: string } }).spec?.nodeName === node);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://fake");
    const method = request.method ?? "";
    const query = url.searchParams;
    this.requests.push(
      `${method} ${url.pathname}${query.has("watch") ? "?watch" : ""}${query.has("dryRun") ? "?dryRun" : ""}`,
    );
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk as string;
    if (this.silent) return;
    if (this.fault !== undefined && this.faulty(method, url.pathname)) {
      if (this.fault.code === 0) response.destroy();
      else status(response, this.fault.code, this.fault.message, this.fault.retryAfter);
      return;
    }
    const claim = new RegExp(`^${API}/namespaces/([^/]+)/resourceclaims/([^/]+)$`).exec(url.pathname);
    const claimStatus = new RegExp(`^${API}/namespaces/([^/]+)/resourceclaims/([^/]+)/status$`).exec(url.pathname);
    const slice = new RegExp(`^${API}/resourceslices(?:/([^/]+))?$`).exec(url.pathname);
    if (url.pathname === "/version") answer(response, { major: "1", minor: "36", gitVersion: "v1.36.3" });
    else if (claimStatus !== null) {
      const key = `${claimStatus[1] ?? ""}/${claimStatus[2] ?? ""}`;
      const found = this.claims.get(key);
      const { status: told } = JSON.parse(text) as { status: ResourceClaim["status"] };
      if (found === undefined) notFound(response, "resourceclaims", claimStatus[2] ?? "");
      else {
        this.claims.set(key, { ...found, status: { ...found.status, ...told } });
        answer(response, this.claims.get(key));
      }
    } else if (claim !== null) {
      const found = this.claims.get(`${claim[1] ?? ""}/${claim[2] ?? ""}`);
      if (found === undefined) notFound(response, "resourceclaims", claim[2] ?? "");
      else answer(response, found);
    } else if (/^\/api\/v1\/namespaces\/[^/]+\/events$/.test(url.pathname) && method === "POST") {
      this.events.push(JSON.parse(text) as KubernetesEvent);
      answer(response, JSON.parse(text));
    } else if (/^\/api\/v1\/namespaces\/[^/]+\/pods\/[^/]+$/.test(url.pathname)) {
      const found = this.pods.get(url.pathname.split("/").pop() ?? "");
      if (found === undefined) notFound(response, "pods", url.pathname.split("/").pop() ?? "");
      else answer(response, found);
    } else if (url.pathname === "/api/v1/pods") {
      answer(response, { metadata: { resourceVersion: String(this.#version) }, items: this.podsOn(query) });
    } else if (url.pathname === `${API}/resourceclaims`) {
      answer(response, { metadata: { resourceVersion: String(this.#version) }, items: [...this.claims.values()] });
    } else if (/^\/api\/v1\/nodes\/[^/]+$/.test(url.pathname)) {
      const { nodeUid: uid, nodeLabels: labels } = this;
      answer(response, { metadata: { name: url.pathname.split("/").pop(), uid, labels } });
    } else if (slice?.[1] !== undefined) {
      if (method === "PATCH") this.#apply(response, slice[1], JSON.parse(text) as ResourceSlice, query.has("dryRun"));
      else this.#delete(response, slice[1], text);
    } else if (slice !== null) this.#list(response, query);
    else status(response, 404, "the server could not find the requested resource");
  }

  #list(response: ServerResponse, query: URLSearchParams): void {
    if (!query.has("watch") && this.oddList !== undefined) {
      response.writeHead(200, { "content-type": "application/json" }).end(this.oddList);
      return;
    }
    if (!query.has("watch")) {
      answer(response, { metadata: { resourceVersion: String(this.#version) }, items: [...this.slices.values()] });
      return;
    }
    response.writeHead(200, { "content-type": "application/json" });
    response.flushHeaders();
    const from = Number(query.get("resourceVersion"));
    for (const { version, line } of this.#history) if (version > from) response.write(line);
    if (this.endsWatchesAtOnce) response.end();
    this.#watches.add(response);
    response.on("close", () => this.#watches.delete(response));
  }

  #apply(response: ServerResponse, name: string, sent: ResourceSlice, dryRun: boolean): void {
    const before = this.slices.get(name);
    const kept = {
      ...sent,
      spec: {
        ...sent.spec,
        devices: sent.spec.devices.map((device) => {
          // A server of 1.36 with default gates drops the mapping.
          const { allowMultipleAllocations: shared, nodeAllocatableResourceMappings: _mapping, ...rest } = device;
          return shared === undefined || this.dropsSharedDevices ? rest : { ...rest, allowMultipleAllocations: shared };
        }),
      },
    };
    const stored = this.#stamped({
      ...kept,
      metadata: { ...sent.metadata, uid: before?.metadata.uid ?? randomUUID() },
    } as never);
    if (!dryRun) {
      this.slices.set(name, stored);
      this.#tell(before === undefined ? "ADDED" : "MODIFIED", stored);
      if (this.meddler !== undefined) {
        const theirs = this.#stamped(this.meddler(stored));
        this.slices.set(name, theirs);
        setImmediate(() => this.#tell("MODIFIED", theirs));
      }
    }
    answer(response, stored);
  }

  #delete(response: ServerResponse, name: string, text: string): void {
    const { preconditions } = JSON.parse(text) as { preconditions: { uid: string; resourceVersion: string } };
    const found = this.slices.get(name);
    if (found === undefined) notFound(response, "resourceslices", name);
    else if (
      found.metadata.uid !== preconditions.uid ||
      found.metadata.resourceVersion !== preconditions.resourceVersion
    )
      status(response, 409, "the UID or the resource version in the precondition does not match");
    else {
      this.deleteSlice(name);
      answer(response, found);
    }
  }

  #stamped(slice: StoredSlice): StoredSlice {
    this.#version += 1;
    return { ...slice, metadata: { ...slice.metadata, resourceVersion: String(this.#version) } };
  }

  #tell(type: string, object: StoredSlice): void {
    const line = `${JSON.stringify({ type, object })}\n`;
    this.#history.push({ version: this.#version, line });
    for (const watch of this.#watches) watch.write(line);
  }
}

function answer(response: ServerResponse, body: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}

function notFound(response: ServerResponse, kind: string, name: string): void {
  const details = { name, group: "resource.k8s.io", kind };
  response.writeHead(404, { "content-type": "application/json" });
  response.end(
    JSON.stringify({
      kind: "Status",
      status: "Failure",
      code: 404,
      reason: "NotFound",
      message: `${kind}.resource.k8s.io "${name}" not found`,
      details,
    }),
  );
}

function status(response: ServerResponse, code: number, message: string, retryAfter?: number): void {
  response.writeHead(code, {
    "content-type": "application/json",
    ...(retryAfter === undefined ? {} : { "retry-after": String(retryAfter) }),
  });
  response.end(JSON.stringify({ kind: "Status", status: "Failure", code, reason: "Fake", message }));
}
