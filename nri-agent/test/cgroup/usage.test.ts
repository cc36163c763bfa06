import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { KernelUsage } from "../../src/cgroup/usage.ts";

describe("CPU time as the kernel counts it", () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "us-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));
  const file = (path: string, text: string): void => {
    mkdirSync(join(dir, path, ".."), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  const v1 = { version: 1, root: "", cpus: "cpuset.cpus", effective: "cpuset.effective_cpus" } as const;

  it("of cgroups, in either version; nothing of those that are gone", async () => {
    file("cpu,cpuacct/cpuacct.usage", "0\n");
    file("cpu,cpuacct/kubepods/p/c/cpuacct.usage", "1234567890\n");
    expect(await new KernelUsage(v1, dir).usedMs("/kubepods/p/c")).to.equal(1234.56789);
    file("kubepods/p/c/cpu.stat", "usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n");
    const v2 = new KernelUsage({ ...v1, version: 2, root: dir }, dir);
    expect(await v2.usedMs("/kubepods/p/c")).to.equal(2500);
    expect(await v2.usedMs("/kubepods/p/gone")).to.equal(undefined);
    file("kubepods/p/odd/cpu.stat", "nr_periods 0\n");
    expect(await v2.usedMs("/kubepods/p/odd")).to.equal(undefined);
  });

  it("of cgroups outside of pods, of the first two levels", async () => {
    file("system.slice/a.service/cpu.stat", "usage_usec 1000\n");
    file("system.slice/a.service/deeper/cpu.stat", "usage_usec 900\n");
    file("system.slice/b.service/cpu.stat", "usage_usec 2000\n");
    file("system.slice/cpu.stat", "usage_usec 3000\n");
    file("alone/cpu.stat", "usage_usec 4000\n");
    file("kubepods.slice/c/cpu.stat", "usage_usec 5000\n");
    file("runtime/pods/p/y/cpu.stat", "usage_usec 7000\n");
    file("runtime/service/cpu.stat", "usage_usec 8000\n");
    file("cpu.stat", "usage_usec 12000\n");
    const found = await new KernelUsage({ ...v1, version: 2, root: dir }, dir).outsideMs([
      "/kubepods.slice/c/x",
      "/runtime/pods/p/y",
    ]);
    expect(Object.fromEntries(found)).to.deep.equal({
      "/system.slice/a.service": 1,
      "/system.slice/b.service": 2,
      "/alone": 4,
      "/runtime/service": 8,
    });
    expect((await new KernelUsage(v1, join(dir, "none")).outsideMs([])).size, "no accounting").to.equal(0);
  });

  it("is not known of any where the hierarchy has no accounting", async () => {
    expect(await new KernelUsage(v1, dir).usedMs("/kubepods/p/c")).to.equal(undefined);
  });

  it("of CPUs: user, nice and system, no waiting and no interrupts", async () => {
    file(
      "stat",
      "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 20 3 5000 7 11 13 17 19 23\ncpu5 1 0 0 0 0 0 0 0 0 0\nintr 5 6 7\n",
    );
    expect([...(await new KernelUsage(v1, dir, join(dir, "stat")).busyMs())]).to.deep.equal([
      [0, 1230],
      [5, 10],
    ]);
    expect((await new KernelUsage(v1, dir, join(dir, "none")).busyMs()).size, "not told").to.equal(0);
  });
});
