import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Runtime } from "@dracpu/nri-agent/runtime/runtime.ts";
import { expect } from "chai";
import { TestAgent } from "../kit/enforcer.ts";
import { FakeRuntime } from "../kit/fakeruntime/runtime.ts";

describe("the way back to the container runtime", () => {
  const dir = mkdtempSync(join(tmpdir(), "rc-"));
  const agent = new TestAgent();
  const ending = new AbortController();
  after(() => {
    agent.enforcer.stop();
    rmSync(dir, { recursive: true });
  });

  interface Waits {
    readonly ms: readonly number[];
    readonly warnings: readonly string[];
  }

  /** Lets the agent come back until it has waited so often. `waited` says what happens meanwhile, on a clock of its own. */
  const waits = async (
    socketPath: string,
    times: number,
    random: () => number,
    waited: (n: number) => { readonly laterMs: number } = () => ({ laterMs: 0 }),
  ): Promise<Waits> => {
    const controller = new AbortController();
    const ms: number[] = [];
    const warnings: string[] = [];
    let now = 0;
    const runtime = new Runtime({
      socketPath,
      pluginName: "dra.cpu",
      pluginIndex: "10",
      hooks: agent.enforcer.hooks,
      log: {
        info: () => {},
        warn: (message, fields) => warnings.push(`${message}: ${String(fields?.["cause"])}`),
        error: (message) => expect.fail(message),
      },
      onHook: () => {},
      newId: () => "s",
      random,
      now: () => now,
      pause: (wait) => {
        ms.push(wait);
        now += wait + waited(ms.length).laterMs;
        if (ms.length === times) controller.abort();
        return Promise.resolve();
      },
    });
    await runtime.run(AbortSignal.any([controller.signal, ending.signal]));
    return { ms, warnings };
  };

  it("waits twice as long each time, from 200 ms to 10 s, a quarter more or less, and never gives up", async () => {
    const nowhere = join(dir, "nowhere.sock");
    const doubled = [200, 400, 800, 1600, 3200, 6400, ...Array.from({ length: 994 }, () => 10_000)];
    const middle = await waits(nowhere, 1000, () => 0.5);
    expect(middle.ms).to.deep.equal(doubled);
    expect((await waits(nowhere, 8, () => 0)).ms).to.deep.equal(doubled.slice(0, 8).map((one) => one * 0.75));
    expect((await waits(nowhere, 8, () => 1)).ms).to.deep.equal(doubled.slice(0, 8).map((one) => one * 1.25));
    // The same cause is said once.
    expect(middle.warnings).to.deep.equal([
      `no NRI session with the container runtime; trying again: ${nowhere} does not exist: the container runtime is not running, or NRI is disabled in its configuration`,
    ]);
  });

  it("waits 200 ms after a session that broke, and 10 s after a second one within a minute", async () => {
    const path = join(dir, "nri.sock");
    const runtime = new FakeRuntime(path);
    await runtime.listen();
    const sessions = (async () => {
      while (!ending.signal.aborted) {
        await runtime.plugin();
        await runtime.synchronize([], []);
        runtime.drop();
      }
    })();
    // Nothing holds the third session back: it breaks an hour later.
    const { ms, warnings } = await waits(
      path,
      4,
      () => 0.5,
      (n) => ({ laterMs: n === 2 ? 3_600_000 : 0 }),
    );
    expect(ms).to.deep.equal([200, 10_000, 200, 10_000]);
    expect(runtime.connections).to.equal(4);
    // A session between them makes the same cause worth saying again.
    expect(warnings).to.deep.equal(
      Array.from(
        { length: 4 },
        () => "no NRI session with the container runtime; trying again: the runtime closed the connection",
      ),
    );
    ending.abort();
    await runtime.close();
    void sessions;
  });
});
