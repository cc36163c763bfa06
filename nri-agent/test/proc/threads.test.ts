import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { HostThreads } from "../../src/proc/threads.ts";

describe("affinities of threads", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "th-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const process = (pid: number, cgroup: string, ...threads: readonly string[]): void => {
    mkdirSync(join(dir, String(pid)), { recursive: true });
    writeFileSync(join(dir, String(pid), "cgroup"), cgroup);
    for (const [n, allowed] of threads.entries()) {
      const at = join(dir, String(pid), "task", String(pid + n));
      mkdirSync(at, { recursive: true });
      writeFileSync(join(at, "status"), `Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t${allowed}\n`);
    }
  };
  /** Cgroups and what they may, as `path=cpus`. */
  const behind = async (...may: readonly string[]): Promise<{ seen: number; behind: Record<string, string> }> => {
    const given = new Map(may.map((one) => one.split("=")).map(([path = "", cpus = ""]) => [path, CpuSet.parse(cpus)]));
    const found = await new HostThreads(dir).behind(given);
    return {
      seen: found.seen,
      behind: Object.fromEntries([...found.behind].map(([path, cpus]) => [path, cpus.toString()])),
    };
  };

  it("are of all processes in a container's cgroup and below, in either version and driver, seen from any cgroup namespace", async () => {
    process(10, "0::/../../kubepods/besteffort/podu/abc\n", "0-1", "0-1");
    process(20, "0::/../../kubepods/besteffort/podu/abc/own/deep\n", "0-1");
    process(
      30,
      "12:cpu,cpuacct:/kubepods/podu/def\n3:cpuset:/kubepods/podu/def\n1:name=systemd:/kubepods/podu/def\n",
      "2",
    );
    process(40, "0::/kubepods.slice/kubepods-podu.slice/cri-containerd-ghi.scope\n", "3,5");
    process(50, "0::/system.slice/abcd\n", "7");
    mkdirSync(join(dir, "self"));
    const systemd = "/kubepods.slice/kubepods-podu.slice/cri-containerd-ghi.scope";
    const own = "/kubepods/besteffort/podu/abc";
    expect(
      await behind(`${own}=0-3`, "/kubepods/podu/def=0-3", `${systemd}=0-7`, "/kubepods/podu/gone=0-3"),
    ).to.deep.equal({
      seen: 3,
      behind: { [own]: "0-1", "/kubepods/podu/def": "2", [systemd]: "3,5" },
    });
    expect(await behind(`${own}=0-1`, "/kubepods/podu/def=0-1"), "all they may, and what they may not").to.deep.equal({
      seen: 2,
      behind: {},
    });
  });

  it("are the program's own where they differ, in one process or in several", async () => {
    process(10, "0::/p/abc\n", "0-1", "0");
    process(20, "0::/p/def\n", "0-1");
    process(30, "0::/p/def\n", "1");
    process(40, "0::/p/ghi\n", "0-1", "0-3");
    expect(await behind("/p/abc=0-3", "/p/def=0-3", "/p/ghi=0-3")).to.deep.equal({ seen: 3, behind: {} });
  });

  it("are nothing of what ends while it is looked at, or cannot be read", async () => {
    process(10, "0::/p/abc\n");
    mkdirSync(join(dir, "11"));
    process(12, "0::/p/abc\n", "4");
    rmSync(join(dir, "12", "task", "12", "status"));
    process(13, "0::/p/abc\n", "what");
    expect(await behind("/p/abc=0-3")).to.deep.equal({ seen: 0, behind: {} });
    rmSync(dir, { recursive: true });
    expect(await behind("/p/abc=0-3")).to.deep.equal({ seen: 0, behind: {} });
    mkdirSync(dir);
  });
});
