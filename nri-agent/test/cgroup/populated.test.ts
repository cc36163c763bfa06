import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { CpusetFiles, findCpuset } from "../../src/cgroup/cpusetfs.ts";

const HOSTS = "pid:[4026531836]";
const OF_A_POD = "pid:[4026532301]";
const CONTAINER = "/kubepods/pod1/c";

describe("whether a container lives, with cgroup v1", () => {
  let root = "";
  const write = (path: string, text: string): void => {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const asked = (pidNamespace: string): boolean => new CpusetFiles(findCpuset(root), pidNamespace).populated(CONTAINER);

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "pop-"));
    write("cpuset/cpuset.cpus", "0-3\n");
    // As everybody sees it whose pid namespace is not that of the container's processes, or above it.
    write(`cpuset${CONTAINER}/cgroup.procs`, "");
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it("is told by the pids controller to an agent in a pod, which does not see the container's processes", () => {
    write(`pids${CONTAINER}/pids.current`, "2\n");
    expect(asked(OF_A_POD)).to.equal(true);
    write(`pids${CONTAINER}/pids.current`, "0\n");
    expect(asked(OF_A_POD)).to.equal(false);
  });

  it("is true without that controller until its cgroup is gone", () => {
    expect(asked(OF_A_POD)).to.equal(true);
    rmSync(join(root, "cpuset", CONTAINER), { recursive: true });
    expect(asked(OF_A_POD)).to.equal(false);
  });

  it("is told by the list to an agent that sees all processes, and to any that sees one", () => {
    write(`pids${CONTAINER}/pids.current`, "2\n");
    expect(asked(HOSTS), "what it counts may be dead, and not waited for").to.equal(false);
    write(`cpuset${CONTAINER}/cgroup.procs`, "17\n");
    expect(asked(HOSTS)).to.equal(true);
    rmSync(join(root, "pids"), { recursive: true });
    expect(asked(OF_A_POD)).to.equal(true);
  });
});
