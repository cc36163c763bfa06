import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { NarrowThreads } from "../../src/enforce/narrowthreads.ts";
import { NodeKnowledge } from "../../src/enforce/node.ts";
import type { ContainerRecord } from "../../src/masks/container.ts";

describe("threads that stay behind", () => {
  let node: NodeKnowledge;
  let narrow: NarrowThreads;
  let asked: string[];
  const masks = new Map<string, readonly CpuSet[]>();

  const runs = (name: string, role: string, may: string, ...threads: readonly string[]): ContainerRecord => {
    const cpus = CpuSet.parse(may);
    const ref = { id: name, name, podNamespace: "ns", podName: "p", podUid: "u" };
    const record = { ref, cgroup: `/${name}`, phase: "running", role, uses: [], wanted: cpus, effective: cpus };
    node.containers.set(name, record as unknown as ContainerRecord);
    const given = threads.map((text) => CpuSet.parse(text));
    masks.set(`/${name}`, given);
    return record as unknown as ContainerRecord;
  };
  beforeEach(() => {
    node = new NodeKnowledge({ force: "file", masks: "file", why: "" });
    masks.clear();
    asked = [];
    const port = {
      isThere: true,
      masks: (cgroups: ReadonlySet<string>) => {
        asked = [...cgroups];
        return Promise.resolve(masks);
      },
    };
    narrow = new NarrowThreads(node, port);
  });
  const told = async (looks: number): Promise<string[]> => {
    for (let n = 0; n < looks; n++) await narrow.look();
    return narrow.findings().map(({ text }) => text);
  };

  it("are told at the second look, and no more when they follow", async () => {
    runs("s", "shared", "0-3", "0-1");
    expect(await told(1)).to.deep.equal([]);
    expect(await told(1)).to.deep.equal([
      "All threads of container s of pod ns/p stay on CPUs 0-1, though it may use 0-3: its runtime or itself has set their affinity",
    ]);
    masks.set("/s", [CpuSet.parse("0-3")]);
    expect(await told(1)).to.deep.equal([]);
  });

  it("are the program's own affair where they differ, and in a claim's container, which is not asked about", async () => {
    runs("differ", "shared", "0-3", "0-1", "0-3");
    runs("claim", "claim", "4-7", "4");
    runs("empty", "shared", "0-3");
    expect(await told(3)).to.deep.equal([]);
    expect(asked).to.deep.equal(["/differ", "/empty"]);
  });

  it("are not judged by a mask that moved while they were looked at", async () => {
    const record = runs("s", "shared", "0-1", "0-1");
    narrow = new NarrowThreads(node, {
      isThere: true,
      masks: () => {
        record.effective = record.effective?.size === 2 ? CpuSet.parse("0-3") : CpuSet.parse("0-1");
        return Promise.resolve(masks);
      },
    });
    expect(await told(4)).to.deep.equal([]);
  });

  it("are not looked for where the host's processes cannot be seen", async () => {
    runs("s", "shared", "0-3", "0-1");
    narrow = new NarrowThreads(node, { isThere: false, masks: () => Promise.reject(new Error("asked")) });
    expect(await told(2)).to.deep.equal([]);
  });
});
