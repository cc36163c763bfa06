import { spawn, type ChildProcess } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { AgentProcess } from "../kit/agent/agent.ts";
import { container, pod } from "../kit/enforcer.ts";
import { FakeRuntime } from "../kit/fakeruntime/runtime.ts";
import { until } from "../kit/node/processes.ts";
import { bundles } from "./programs.ts";
import { shipped } from "../../images/environment.ts";
import { bestOf } from "../kit/rounds.ts";

const CPUSET = "/sys/fs/cgroup/cpuset";

// The kernel's cgroups with a process in each, and a runtime that speaks the real bytes.
describe("500 containers in the kernel's cgroups", function () {
  this.timeout(120_000);
  const dir = mkdtempSync(join(tmpdir(), "rc-"));
  const root = `/${basename(dir)}`;
  const runtime = new FakeRuntime(join(dir, "nri.sock"));
  const processes: ChildProcess[] = [];
  const paths = Array.from({ length: 500 }, (_, n) => `${root}/c${n}`);
  let agent: AgentProcess;

  before(async () => {
    const programs = await bundles();
    agent = new AgentProcess({
      dir,
      argv: shipped(programs.agent),
      nriSocket: runtime.path,
      cdiDir: join(dir, "cdi"),
      lever: "auto",
      online: CpuSet.parse("0-1"),
    });
    await runtime.listen();
    for (const path of [root, ...paths]) {
      mkdirSync(CPUSET + path);
      writeFileSync(join(CPUSET + path, "cpuset.mems"), "0");
      writeFileSync(join(CPUSET + path, "cpuset.cpus"), "0-1");
    }
    for (const path of paths) {
      const sleeper = spawn("sleep", ["infinity"], { stdio: "ignore" });
      processes.push(sleeper);
      writeFileSync(join(CPUSET + path, "cgroup.procs"), String(sleeper.pid));
    }
  });
  after(async () => {
    await agent.daemon?.stop();
    await runtime.close();
    await Promise.all(
      processes.map((one) => {
        const exited = new Promise((resolve) => one.on("exit", resolve));
        one.kill("SIGKILL");
        return exited;
      }),
    );
    for (const path of [...paths, root])
      await until(`cgroup ${path} is gone`, () => (rmdirSync(CPUSET + path), true), 5000, 10);
    rmSync(dir, { recursive: true });
  });

  it("are off a claim's CPU less than a second after Synchronize, all of them", async () => {
    const first = runtime.plugin();
    agent.start();
    const spoken = agent.replace();
    await first;
    await runtime.synchronize([], []);
    await Promise.all([spoken, agent.synchronized()]);
    const { uid, ids } = await agent.claim({ cpus: "1" }, [{ uid: "p0", name: "p0" }]);
    const all = paths.map((path, n) => {
      const more = n === 0 ? { cdi: [ids["cpus"] ?? ""], env: [`DRA_CPUSET_${uid}=1`] } : {};
      const one = container(`p${n}`, `c${n}`, more);
      if (one.linux !== undefined) one.linux.cgroupsPath = path;
      return one;
    });
    const mask = (path: string): string => readFileSync(join(CPUSET + path, "cpuset.effective_cpus"), "utf8").trim();
    const isRight = (): boolean => paths.every((path, n) => mask(path) === (n === 0 ? "1" : "0"));
    const moved = await bestOf(1000, async () => {
      const again = runtime.plugin();
      runtime.drop();
      for (const path of paths) writeFileSync(join(CPUSET + path, "cpuset.cpus"), "0-1");
      await again;
      const began = performance.now();
      await runtime.synchronize(
        all.map((_, n) => pod(`p${n}`)),
        all,
      );
      const answered = performance.now() - began;
      await until("every mask is right", isRight, 10_000, 5);
      const right = performance.now() - began;
      console.log(
        `      Synchronize answered after ${answered.toFixed(0)} ms, every mask right after ${right.toFixed(0)} ms`,
      );
      return right;
    });
    expect(moved).to.be.below(1000);
  });
});
