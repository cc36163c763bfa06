import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { NarrowThreads } from "../../src/enforce/narrowthreads.ts";
import { NodeKnowledge } from "../../src/enforce/node.ts";
import type { ThreadsPort } from "../../src/enforce/ports.ts";
import type { ContainerRecord } from "../../src/masks/container.ts";

describe("threads that stay behind", () => {
  let node: NodeKnowledge;
  let narrow: NarrowThreads;
  let asked: string[];
  let seen: number;
  const behind = new Map<string, CpuSet>();

  const runs = (name: string, role: string, may: string, threads: string): ContainerRecord => {
    const cpus = CpuSet.parse(may);
    const ref = { id: name, name, podNamespace: "ns", podName: "p", podUid: "u" };
    const record = { ref, cgroup: `/${name}`, phase: "running", role, uses: [], wanted: cpus, effective: cpus };
    node.containers.set(name, record as unknown as ContainerRecord);
    if (threads !== may) behind.set(`/${name}`, CpuSet.parse(threads));
    return record as unknown as ContainerRecord;
  };
  const port = (look: () => void = () => {}): ThreadsPort => ({
    root: "/host/proc",
    behind: (may) => {
      asked = [...may].map(([cgroup, cpus]) => `${cgroup} ${cpus.toString()}`);
      look();
      return Promise.resolve({ seen, behind });
    },
  });
  beforeEach(() => {
    node = new NodeKnowledge({ force: "file", masks: "file", why: "" });
    behind.clear();
    [asked, seen] = [[], 1];
    narrow = new NarrowThreads(node, port());
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
    behind.clear();
    expect(await told(1)).to.deep.equal([]);
  });

  it("of a claim's container are its program's own affair, and not asked about", async () => {
    runs("plain", "shared", "0-3", "0-3");
    runs("claim", "claim", "4-7", "4");
    expect(await told(3)).to.deep.equal([]);
    expect(asked).to.deep.equal(["/plain 0-3"]);
  });

  it("are not judged by a mask that moved while they were looked at", async () => {
    const record = runs("s", "shared", "0-1", "0");
    const move = (): void => void (record.effective = CpuSet.parse(record.effective?.size === 2 ? "0-3" : "0-1"));
    narrow = new NarrowThreads(node, port(move));
    expect(await told(4)).to.deep.equal([]);
  });

  it("cannot be told where no process is to be seen, which is told", async () => {
    seen = 0;
    expect(await told(2), "there is no container").to.deep.equal([]);
    runs("s", "shared", "0-3", "0-3");
    expect(await told(2)).to.deep.equal([
      "No process of any container can be seen below /host/proc: --host-proc must be the host's /proc",
    ]);
  });

  it("are not looked for where the host's processes cannot be seen", async () => {
    runs("s", "shared", "0-3", "0-1");
    narrow = new NarrowThreads(node, { root: "", behind: () => Promise.reject(new Error("asked")) });
    expect(await told(2)).to.deep.equal([]);
  });
});
