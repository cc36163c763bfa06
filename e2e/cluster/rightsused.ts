import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiServer } from "@dracpu/driver/apiserver/apiserver.ts";
import type { ApiRequest } from "@dracpu/driver/apiserver/fault.ts";
import { expect } from "chai";
import { stringify } from "yaml";

const VERBS = { GET: "get", POST: "create", PATCH: "patch", DELETE: "delete" } as const;
const EMPTY_LIST = { metadata: { resourceVersion: "1" }, items: [] };

/** A request as Kubernetes' authorization sees it. */
export interface Right {
  readonly verb: string;
  readonly resource: string;
  readonly group: string;
  /** "" where it is of the whole cluster, as are the lists of all namespaces. */
  readonly namespace: string;
  /** "" where it is of no one object. */
  readonly name: string;
}

function rightOf({ method, path, query }: Pick<ApiRequest, "method" | "path" | "query">): Right {
  const [, group = "", namespace = "", kind = "", name = "", sub = ""] =
    /^\/(?:api|apis\/([^/]+))\/[^/]+\/(?:namespaces\/([^/]+)\/)?([^/]+)(?:\/([^/]+))?(\/[^/]+)?$/.exec(path) ?? [];
  const reading = query?.["watch"] !== undefined ? "watch" : name === "" ? "list" : "get";
  return { verb: method === "GET" ? reading : VERBS[method], resource: `${kind}${sub}`, group, namespace, name };
}

/** Of every request that the driver's API edge can make: each of its methods is called, with a transport that only listens. */
export async function driverRights(): Promise<Right[]> {
  const used: Right[] = [];
  const note = (request: ApiRequest): string => {
    const right = rightOf(request);
    used.push(right);
    // Apply creates what is not there.
    if (right.verb === "patch" && !right.resource.includes("/")) used.push({ ...right, verb: "create" });
    // Asked for by the API server when a status's devices are written (KEP-4817).
    if (right.verb === "patch" && right.resource === "resourceclaims/status")
      used.push({ ...right, verb: "associated-node:patch", resource: "resourceclaims/driver", name: "dra.cpu" });
    return right.verb;
  };
  const listening = {
    json: async (request: ApiRequest) => {
      if (note(request) === "list") return EMPTY_LIST;
      throw new Error("only listening");
    },
    lines: (request: ApiRequest) => {
      note(request);
      throw new Error("only listening");
    },
  };
  const quiet = { info: () => {}, warn: () => {}, error: () => {} };
  const api = new ApiServer(listening as unknown as ConstructorParameters<typeof ApiServer>[0], quiet);
  const { signal } = new AbortController();
  const stored = { metadata: { name: "s", uid: "u", resourceVersion: "1" } };
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    get: () => api.get("n", "c", signal),
    find: () => api.find(new Set(["u"]), signal),
    allocated: () => api.allocated(signal),
    nodeUid: () => api.nodeUid("n", signal),
    nodeLabels: () => api.nodeLabels("n", signal),
    nodeKeepsMilli: () => api.nodeKeepsMilli("n", signal),
    apply: () => api.apply(stored as never, false, signal),
    remove: () => api.remove(stored as never, signal),
    write: () => api.write({ metadata: { namespace: "n" } } as never, signal),
    pod: () => api.pod("n", "p", signal),
    devices: () => api.devices({ metadata: { namespace: "n", name: "c", uid: "u" } }, [], signal),
    list: () => api.list("d", "n", signal),
    watch: async () => {
      for await (const event of api.watch("d", "n", signal)) expect(event.kind).to.equal("list");
    },
  };
  const methods = Object.getOwnPropertyNames(ApiServer.prototype).filter((name) => name !== "constructor");
  expect(Object.keys(calls).toSorted(), "methods that are called here").to.deep.equal(methods.toSorted());
  for (const call of Object.values(calls)) {
    await call().catch(() => {
      // Whoever only listens has nothing to give.
    });
  }
  return used;
}

/** Of every request that a Job of the chart makes, to a server that has one node, one pod and one slice of each kind that is asked for. */
export async function jobRights(run: (kubeconfig: string) => Promise<unknown>): Promise<Right[]> {
  const used: Right[] = [];
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://server");
    const method = request.method as ApiRequest["method"];
    const right = rightOf({ method, path: pathname, query: Object.fromEntries(searchParams) });
    used.push(right);
    const pod = {
      metadata: { name: "p" },
      spec: { nodeName: "n" },
      status: { conditions: [{ type: "Ready", status: "True" }] },
    };
    const slice = { metadata: { name: "s", uid: "u", resourceVersion: "1" }, spec: { pool: { generation: 1 } } };
    const items = { pods: [pod], resourceslices: [slice] }[right.resource] ?? [];
    const status = { observedGeneration: 1, desiredNumberScheduled: 1, numberReady: 1 };
    const set = { metadata: { generation: 1 }, spec: { selector: { matchLabels: { a: "b" } } }, status };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(right.verb === "list" ? { ...EMPTY_LIST, items } : set));
  });
  const dir = mkdtempSync(join(tmpdir(), "rights-"));
  try {
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const kubeconfig = join(dir, "kubeconfig");
    writeFileSync(
      kubeconfig,
      stringify({
        "current-context": "c",
        clusters: [{ name: "c", cluster: { server: url, "insecure-skip-tls-verify": true } }],
        users: [{ name: "c", user: {} }],
        contexts: [{ name: "c", context: { cluster: "c", user: "c" } }],
      }),
    );
    await run(kubeconfig);
    return used;
  } finally {
    server.closeAllConnections();
    server.close();
    rmSync(dir, { recursive: true });
  }
}
