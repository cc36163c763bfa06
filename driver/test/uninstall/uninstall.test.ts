import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { NodeFiles } from "../../src/disk/ownfiles.ts";
import type { StoredSlice } from "../../src/publish/ports.ts";
import { awaitClean } from "../../src/uninstall/await.ts";
import { cleanNode } from "../../src/uninstall/clean.ts";
import { inUse } from "../../src/uninstall/inuse.ts";
import type { AgentView } from "../../src/uninstall/ports.ts";

describe("uninstalling", () => {
  it("names each claim that has CPUs, where, and for whom; and no other driver's", () => {
    const claim = (name: string, driver: string, pods: string[]): Parameters<typeof inUse>[0][number] => ({
      metadata: { name, namespace: "ns", uid: name },
      status: {
        allocation: { devices: { results: [{ request: "r", driver, pool: "node-a", device: "d" }] } },
        reservedFor: pods.map((pod) => ({ resource: "pods", name: pod, uid: pod })),
      },
    });
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

  it("deletes slices, lets containers go, and removes files, in this order, each until it is done", async () => {
    const did: string[] = [];
    const views: AgentView[] = [
      { blind: "no session", wrong: [] },
      { blind: "", wrong: ["a/b/c"] },
      { blind: "", wrong: [] },
    ];
    let refusals = 1;
    const isClean = await cleanNode(
      {
        driver: "dra.cpu",
        nodeName: "node-a",
        slices: {
          list: async () => {
            if (refusals-- > 0) throw new Error("the API server is away");
            return [{ metadata: { name: "slice" } } as StoredSlice];
          },
          remove: async ({ metadata }) => void did.push(`delete ${metadata.name}`),
        },
        agent: {
          letGo: async () => void did.push("let go"),
          view: async () => views.shift() ?? { blind: "", wrong: [] },
        },
        files: { remove: async () => (did.push("files"), ["/x"]) },
        say: (what) => did.push(what),
      },
      new AbortController().signal,
    );
    expect(isClean).to.equal(true);
    expect(did).to.deep.equal([
      "the API server is away",
      "delete slice",
      "let go",
      "no session",
      "waiting until they have their CPUs: a/b/c",
      "files",
      "clean; removed /x",
    ]);
  });

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
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  it("waits for the nodes, and names those that are behind when the time is over", async () => {
    const behind = { wanted: 2, ready: 1, behind: ["node b (pod p: Pending)"] };
    const over = AbortSignal.timeout(30);
    expect(await awaitClean(async () => behind, over)).to.equal(
      "1 of 2 nodes are clean; not yet: node b (pod p: Pending)",
    );
    expect(await awaitClean(async () => ({ wanted: 2, ready: 2, behind: [] }), AbortSignal.timeout(5000))).to.equal("");
  });
});
