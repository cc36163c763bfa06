import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { processFacts } from "../../src/host/processes.ts";
import type { Picture } from "../../src/picture/picture.ts";

describe("the processes of a node", () => {
  let dir = "";
  const write = (path: string, text: string): void => {
    mkdirSync(join(dir, path, ".."), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  const thread = (pid: number, cpus: string): void => {
    const status = `Name:\tp${pid}\nVmSize:\t100 kB\nCpus_allowed_list:\t${cpus}\n`;
    for (const path of [`proc/${pid}/status`, `proc/${pid}/task/${pid}/status`]) write(path, status);
  };
  const looked = (): ReturnType<typeof processFacts> => {
    const containers = [
      { namespace: "kube-system", pod: "dra", name: "nri-agent", role: "own", cgroup: "/own", effective: "0-3" },
      { namespace: "default", pod: "p", name: "x", role: "claim", cgroup: "/x", effective: "2-3" },
    ];
    const picture = { containers, machine: { held: "2-3" } } as unknown as Picture;
    return processFacts(picture, join(dir, "cgroup"), join(dir, "proc"));
  };

  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "hp-"));
    write("cgroup/cpuset/own/cgroup.procs", "1\n");
    thread(1, "0-3");
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it("are those of containers, and those that may run on claims' CPUs beside them", () => {
    write("cgroup/cpuset/x/cgroup.procs", "7\n");
    thread(7, "2");
    thread(9, "1-2");
    expect(looked()).to.deep.equal({
      value: {
        narrow: [{ container: "default/p/x", thread: 7, cpus: "2" }],
        strangers: [{ name: "p9", cpus: "2" }],
      },
    });
  });

  it("are not known to a pod, which sees no others than its own", () => {
    write("cgroup/cpuset/x/cgroup.procs", "");
    expect(JSON.stringify(looked())).to.include("no process of a container can be seen below");
  });
});
