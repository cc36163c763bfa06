import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LOCK } from "@dracpu/shared-proto/socket/lock.ts";
import { expect } from "chai";
import { cleanUpProgress, nodesWithPod, removeCleanUp } from "../../src/apiserver/cleanup.ts";
import { ApiFault, type ApiRequest } from "../../src/apiserver/fault.ts";
import { NodeFiles } from "../../src/disk/ownfiles.ts";
import { awaitClean } from "../../src/uninstall/await.ts";
import { cleanNode } from "../../src/uninstall/clean.ts";
import { inUse, waysOn } from "../../src/uninstall/inuse.ts";
import type { AgentView, CleanUpProgress } from "../../src/uninstall/ports.ts";

const SET = { namespace: "ns", name: "rel" };
const { signal } = new AbortController();
const SEEN: AgentView = { blind: "", forGood: false, wrong: [] };

describe("uninstalling", () => {
  const claim = (
    name: string,
    driver: string,
    pods: string[],
    pool = "node-a",
  ): Parameters<typeof inUse>[0][number] => ({
    metadata: { name, namespace: "ns", uid: name },
    status: {
      allocation: { devices: { results: [{ request: "r", driver, pool, device: "d" }] } },
      reservedFor: pods.map((pod) => ({ resource: "pods", name: pod, uid: pod })),
    },
  });

  it("names each claim that has CPUs, where, and for whom; and no other driver's", () => {
    expect(
      inUse(
        [claim("one", "dra.cpu", ["a", "b"]), claim("gpu", "gpu.example.com", ["c"]), claim("idle", "dra.cpu", [])],
        "dra.cpu",
      ),
    ).to.deep.equal([
      "claim ns/one on node node-a: used by pod a, pod b",
      "claim ns/idle on node node-a: allocated, used by nobody now",
    ]);
  });

  it("leaves another release's nodes out, where it is told its own", () => {
    const claims = [claim("one", "dra.cpu", ["a"]), claim("two", "dra.cpu", ["b"], "node-b")];
    expect(inUse(claims, "dra.cpu", new Set(["node-b"]))).to.deep.equal(["claim ns/two on node node-b: used by pod b"]);
    expect(inUse(claims, "dra.cpu", new Set())).to.deep.equal([]);
    expect(inUse(claims, "dra.cpu")).to.have.length(2);
  });

  it("says how to go on after a refusal: with helm's release by name", () => {
    const said = waysOn("ns/rel").join("\n");
    expect(said).to.include("helm rollback rel REVISION -n ns").and.include("helm history rel -n ns");
    expect(said).to.include("helm upgrade rel CHART -n ns --reuse-values --set uninstall.force=true");
    expect(waysOn("").join("\n")).not.to.include("helm");
  });

  it("lets containers go, and removes files, in this order, each until it is done", async () => {
    const did: string[] = [];
    const views: AgentView[] = [
      { blind: "no session", forGood: false, wrong: [] },
      { ...SEEN, wrong: ["a/b/c"] },
      SEEN,
    ];
    let refusals = 1;
    const isClean = await cleanNode(
      {
        agent: {
          letGo: async () => {
            if (refusals-- > 0) throw new Error("the agent is away");
            did.push("let go");
          },
          view: async () => views.shift() ?? SEEN,
        },
        files: { remove: async () => (did.push("files"), ["/x"]) },
        say: (what) => did.push(what),
        now: () => 0,
      },
      new AbortController().signal,
    );
    expect(isClean).to.equal(true);
    expect(did).to.deep.equal([
      "the agent is away",
      "let go",
      "no session",
      "waiting until they have their CPUs: a/b/c",
      "files",
      "clean; removed /x",
    ]);
  });

  for (const [what, view] of [
    ["a runtime without NRI", { blind: "There is no nri.sock", forGood: true, wrong: [] }],
    ["a container that cannot have its CPUs", { ...SEEN, wrong: ["a/b/c"] }],
  ] as const) {
    it(`does not wait for ever for ${what}`, async () => {
      const said: string[] = [];
      let now = 0;
      const parts = {
        agent: { letGo: () => Promise.resolve(), view: () => Promise.resolve(view) },
        files: { remove: () => Promise.resolve(["/x"]) },
        say: (what: string) => said.push(what),
        now: () => (now += 30_000),
      };
      expect(await cleanNode(parts, signal)).to.equal(true);
      expect(said[1]).to.match(/^goes on without that after 45 s: /);
      expect(said[2]).to.equal("clean; removed /x");
    });
  }

  it("removes its own files and nobody else's", async () => {
    const dir = mkdtempSync(join(tmpdir(), "un-"));
    try {
      const paths = ["cdi", "kl/plugins_registry", "kl/plugins/dra.cpu", "kl/plugins/other", "state"];
      for (const path of paths) mkdirSync(join(dir, path), { recursive: true });
      const ours = [
        "cdi/dra.k8s.io-cpu_claim-1.json",
        "kl/plugins_registry/dra.cpu-reg.sock",
        "kl/plugins/dra.cpu/dra.sock",
        "state/x",
      ];
      // Held by the clean-up's own programs, which keep those of another installation waiting.
      writeFileSync(join(dir, "state", LOCK), "");
      const theirs = ["cdi/other_claim-1.json", "kl/plugins_registry/gpu-reg.sock", "kl/plugins/other/dra.sock"];
      for (const path of [...ours, ...theirs]) writeFileSync(join(dir, path), "");
      const files = new NodeFiles({
        cdiDir: join(dir, "cdi"),
        kubeletRootDir: join(dir, "kl"),
        driver: "dra.cpu",
        own: [join(dir, "state"), join(dir, "none")],
      });
      expect((await files.remove()).map((path) => path.slice(dir.length + 1)).toSorted()).to.deep.equal(
        ours.toSorted(),
      );
      expect(ours.filter((path) => existsSync(join(dir, path)))).to.deep.equal([]);
      expect(theirs.filter((path) => !existsSync(join(dir, path)))).to.deep.equal([]);
      expect(await files.remove()).to.deep.equal([]);
      expect(existsSync(join(dir, "state", LOCK)), "the lock").to.equal(true);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("waits for the nodes, and names those that are behind when the time is over", async () => {
    const behind = { wanted: 2, ready: 1, behind: ["node b (pod p: Pending)"], nodes: ["a", "b"] };
    const end = async (): Promise<void> => expect.fail("it is not over");
    expect(await awaitClean({ progress: async () => behind, end }, AbortSignal.timeout(30))).to.equal(
      "1 of 2 nodes are clean; not yet: node b (pod p: Pending)",
    );
  });

  it("ends the clean-up of the nodes that it was on, once, when all are clean; and says what it could not take away", async () => {
    const ended: (readonly string[])[] = [];
    const progress = async (): Promise<CleanUpProgress> => ({ wanted: 2, ready: 2, behind: [], nodes: ["a", "b"] });
    const end = async (nodes: readonly string[]): Promise<void> => void ended.push(nodes);
    expect(await awaitClean({ progress, end }, AbortSignal.timeout(5000))).to.equal("");
    expect(ended).to.deep.equal([["a", "b"]]);
    const refused = { progress, end: async () => Promise.reject(new Error("the server refuses")) };
    expect(await awaitClean(refused, AbortSignal.timeout(30))).to.equal("every node is clean, but the server refuses");
  });

  describe("asks the API server", () => {
    const asked: string[] = [];
    const gone = (kind = "", name = ""): never => {
      throw new ApiFault(404, "NotFound", "not found", { details: { kind, name } });
    };
    /** Of one DaemonSet that wants two nodes, with these pods. */
    const serverWith = (pods: object[] | undefined): { json<T>(request: ApiRequest): Promise<T> } => ({
      json: async <T>({ method, path, query }: ApiRequest): Promise<T> => {
        asked.push(`${method} ${path}${query === undefined ? "" : ` ${query["labelSelector"] ?? ""}`}`);
        if (pods === undefined) gone(...path.split("/").slice(-2));
        if (path.endsWith("/pods")) return { items: pods } as T;
        return {
          metadata: { generation: 1 },
          spec: { selector: { matchLabels: { a: "1", b: "2" } } },
          status: { observedGeneration: 1, desiredNumberScheduled: 2, numberReady: 1 },
        } as T;
      },
    });
    const pod = (node: string, status: string): object => ({
      metadata: { name: `pod-${node}` },
      spec: { nodeName: node },
      status: { conditions: [{ type: "Ready", status, message: "not begun" }] },
    });

    it("by the DaemonSet's own selector, and counts nodes that have no pod", async () => {
      asked.length = 0;
      expect(await cleanUpProgress(serverWith([pod("a", "True"), pod("b", "False")]), SET, signal)).to.deep.equal({
        wanted: 2,
        ready: 1,
        behind: ["node b (pod pod-b: not begun)"],
        nodes: ["a", "b"],
      });
      expect(asked).to.deep.equal([
        "GET /apis/apps/v1/namespaces/ns/daemonsets/rel ",
        "GET /api/v1/namespaces/ns/pods a=1,b=2",
      ]);
      const conditions = [{ type: "PodScheduled", status: "False", message: "Insufficient memory" }];
      const pending = { metadata: { name: "pod-c" }, spec: {}, status: { phase: "Pending", conditions } };
      const { behind, nodes } = await cleanUpProgress(serverWith([pod("a", "True"), pending]), SET, signal);
      expect(behind).to.deep.equal(["node (none yet) (pod pod-c: Insufficient memory)"]);
      expect(nodes).to.deep.equal(["a"]);
      expect((await cleanUpProgress(serverWith([pod("a", "True")]), SET, signal)).behind).to.deep.equal([
        "1 for which there is no pod: the DaemonSet's Events say why (kubectl -n ns describe daemonset rel)",
      ]);
    });

    it("for the nodes of the driver's DaemonSet; without it nothing is known of nodes", async () => {
      const both = [pod("a", "True"), pod("b", "False")];
      expect(await nodesWithPod(serverWith(both), SET, signal)).to.deep.equal(new Set(["a", "b"]));
      expect(await nodesWithPod(serverWith(both.slice(1)), SET, signal), "a pod is being replaced").to.equal(undefined);
      expect(await nodesWithPod(serverWith(undefined), SET, signal)).to.equal(undefined);
    });

    it("to take the clean-up away, the DaemonSet last, and takes what is gone for done", async () => {
      asked.length = 0;
      await removeCleanUp(serverWith([]), SET, signal);
      await removeCleanUp(serverWith(undefined), SET, signal);
      const once = [
        "DELETE /api/v1/namespaces/ns/configmaps/rel",
        "DELETE /api/v1/namespaces/ns/serviceaccounts/rel-clean",
        "DELETE /apis/apps/v1/namespaces/ns/daemonsets/rel",
      ];
      expect(asked).to.deep.equal([...once, ...once]);
    });

    it("to take away what an older chart has made, which gives no right to the pods' account and has made none", async () => {
      const refusing = (resource: string): ReturnType<typeof serverWith> => ({
        json: ({ path }) =>
          path.includes(`/${resource}/`)
            ? Promise.reject(new ApiFault(403, "Forbidden", `${resource} is forbidden`))
            : Promise.resolve({} as never),
      });
      await removeCleanUp(refusing("serviceaccounts"), SET, signal);
      const fault = await removeCleanUp(refusing("daemonsets"), SET, signal).catch((cause: unknown) => cause);
      expect((fault as Error).message).to.equal("daemonsets is forbidden");
    });
  });
});
