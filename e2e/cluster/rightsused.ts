import { ApiServer } from "@dracpu/driver/apiserver/apiserver.ts";
import type { ApiRequest } from "@dracpu/driver/apiserver/fault.ts";
import { expect } from "chai";

const VERBS = { GET: "get", POST: "create", PATCH: "patch", DELETE: "delete" } as const;
const EMPTY_LIST = { metadata: { resourceVersion: "1" }, items: [] };

/** `verb resource group` of every request that the driver's API edge can make: each of its methods is called, with a transport that only listens. */
export async function rightsUsed(): Promise<Set<string>> {
  const used = new Set<string>();
  const note = ({ method, path, query }: ApiRequest): string => {
    const [, group = "", kind = "", name, sub = ""] =
      /^\/(?:api|apis\/([^/]+))\/[^/]+\/(?:namespaces\/[^/]+\/)?([^/]+)(\/[^/]+)?(\/[^/]+)?$/.exec(path) ?? [];
    const resource = `${kind}${sub}`;
    const reading = query?.["watch"] !== undefined ? "watch" : name === undefined ? "list" : "get";
    const verb = method === "GET" ? reading : VERBS[method];
    used.add(`${verb} ${resource} ${group}`);
    // Apply creates what is not there.
    if (method === "PATCH" && sub === "") used.add(`create ${resource} ${group}`);
    return verb;
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
  // Asked for by the API server when a status's devices are written (KEP-4817).
  if (used.has("patch resourceclaims/status resource.k8s.io"))
    used.add("associated-node:patch resourceclaims/driver resource.k8s.io");
  return used;
}
