import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { AgentProcess } from "../kit/agent/agent.ts";
import { CgroupTree } from "../kit/cgrouptree.ts";
import { container, pod } from "../kit/enforcer.ts";
import { FakeRuntime } from "../kit/fakeruntime/runtime.ts";

const MAIN = join(import.meta.dirname, "..", "..", "nri-agent", "src", "main.ts");

// Run after all other suites, which use every CPU there is.
describe("the agent's hooks", function () {
  this.timeout(60_000);
  const dir = mkdtempSync(join(tmpdir(), "at-"));
  const runtime = new FakeRuntime(join(dir, "nri.sock"));
  const cgroups = new CgroupTree(join(dir, "cg"), "0-7");
  const agent = new AgentProcess({
    dir,
    argv: [process.execPath, MAIN],
    nriSocket: runtime.path,
    cdiDir: join(dir, "cdi"),
    lever: "runtime",
    online: CpuSet.parse("0-7"),
    cgroupRoot: cgroups.root,
    bindAddress: "127.0.0.1:18099",
  });
  before(async () => {
    await runtime.listen();
    await agent.startBeside(runtime);
  });
  after(async () => {
    await agent.daemon?.stop();
    await runtime.close();
    rmSync(dir, { recursive: true });
  });

  it("answer within 5 ms while 16 clients read its state", async () => {
    const reading = new AbortController();
    const clients = Array.from({ length: 16 }, async () => {
      while (!reading.signal.aborted) {
        await agent.state();
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    });
    const hooks = async (round: number): Promise<number> => {
      const before = await hooksSoFar();
      const times: number[] = [];
      for (let n = 0; n < 300; n++) {
        const env = Array.from({ length: 30 }, (_, k) => `V${k}=${"x".repeat(50)}`);
        const one = container("q", `h${round}x${n}`, { env });
        const began = performance.now();
        await runtime.create(pod("q"), one);
        times.push(performance.now() - began);
        await runtime.event("RemoveContainer", pod("q"), one);
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
      times.sort((a, b) => a - b);
      console.log(
        `      CreateContainer with 16 readers: p50 ${times[150]?.toFixed(2)} ms, p99 ${times[296]?.toFixed(2)} ms, as the runtime sees it`,
      );
      const after = await hooksSoFar();
      expect(after.all - before.all).to.equal(300);
      return (after.quick - before.quick) / 300;
    };
    // The clock runs on while other programs have the CPU; what is slow by itself is slow in every round.
    let share = 0;
    for (let round = 0; round < 3 && share < 0.99; round++) share = await hooks(round);
    reading.abort();
    await Promise.all(clients);
    expect(share, "share of hooks under 5 ms, in the best round").to.be.at.least(0.99);
  });
});

/** CreateContainer by the agent's own clock: inside the hook, where no other process's turn counts. */
async function hooksSoFar(): Promise<{ all: number; quick: number }> {
  const text = await (await fetch("http://127.0.0.1:18099/metrics")).text();
  const of = (pattern: RegExp): number => Number(pattern.exec(text)?.[1] ?? 0);
  return {
    all: of(/hook_duration_seconds_count\{hook="CreateContainer"\} (\d+)/),
    quick: of(/hook_duration_seconds_bucket\{le="0.005",hook="CreateContainer"\} (\d+)/),
  };
}
