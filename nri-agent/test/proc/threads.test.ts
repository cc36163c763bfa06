import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
  const masks = async (...cgroups: readonly string[]): Promise<Record<string, string[]>> =>
    Object.fromEntries(
      [...(await new HostThreads(dir).masks(new Set(cgroups)))].map(([path, cpus]) => [path, cpus.map(String).sort()]),
    );

  it("are of all processes in a container's cgroup and below, in either version and driver, seen from any cgroup namespace", async () => {
    process(10, "0::/../../kubepods/besteffort/podu/abc\n", "0-1", "0-1");
    process(20, "0::/../../kubepods/besteffort/podu/abc/own/deep\n", "1");
    process(
      30,
      "12:cpu,cpuacct:/kubepods/podu/def\n3:cpuset:/kubepods/podu/def\n1:name=systemd:/kubepods/podu/def\n",
      "2",
    );
    process(40, "0::/kubepods.slice/kubepods-podu.slice/cri-containerd-ghi.scope\n", "3,5");
    process(50, "0::/system.slice/abcd\n", "7");
    mkdirSync(join(dir, "self"));
    const systemd = "/kubepods.slice/kubepods-podu.slice/cri-containerd-ghi.scope";
    expect(
      await masks("/kubepods/besteffort/podu/abc", "/kubepods/podu/def", systemd, "/kubepods/podu/gone"),
    ).to.deep.equal({
      "/kubepods/besteffort/podu/abc": ["0-1", "1"],
      "/kubepods/podu/def": ["2"],
      [systemd]: ["3,5"],
    });
  });

  it("are nothing of what ends while it is looked at, or cannot be read", async () => {
    process(10, "0::/p/abc\n");
    mkdirSync(join(dir, "11"));
    process(12, "0::/p/abc\n", "4");
    rmSync(join(dir, "12", "task", "12", "status"));
    expect(await masks("/p/abc")).to.deep.equal({ "/p/abc": [] });
    rmSync(dir, { recursive: true });
    expect(await masks("/p/abc")).to.deep.equal({});
    mkdirSync(dir);
  });
});
