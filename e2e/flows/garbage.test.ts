import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { expect } from "chai";
import { AgentProcess } from "../kit/agent/agent.ts";
import { CgroupTree } from "../kit/cgrouptree.ts";
import { container, pod } from "../kit/enforcer.ts";
import { FakeRuntime } from "../kit/fakeruntime/runtime.ts";
import { until } from "../kit/node/processes.ts";

const MAIN = join(import.meta.dirname, "..", "..", "nri-agent", "src", "main.ts");
const ANNOUNCED = "at most 4194304 are allowed: this is not ttrpc";
const CASES = [
  [
    "a message of 3 GB",
    new Uint8Array([0, 0, 0, 1, 0, 0, 0, 10, 0xb2, 0xd0, 0x5e, 0, 0, 0, 0, 1, 1, 0]),
    `a message of 3000000000 bytes is announced, ${ANNOUNCED}`,
  ],
  [
    "the wrong protocol",
    Buffer.concat([new Uint8Array([0, 0, 0, 1, 0, 0, 0, 16]), Buffer.from("GET / HTTP/1.1\r\n")]),
    `a message of 1195725856 bytes is announced, ${ANNOUNCED}`,
  ],
  [
    "noise",
    Uint8Array.from({ length: 5000 }, (_, n) => ((n + 1) * 2654435761) >>> 13),
    "a frame of 2875597534 bytes is announced for connection 3145151471, at most 67108864 are believed: these are no frames of NRI",
  ],
] as const;

/** One agent beside one runtime; the agent waits some ten seconds before it connects again. */
class Pair {
  readonly dir = mkdtempSync(join(tmpdir(), "ag-"));
  readonly runtime = new FakeRuntime(join(this.dir, "nri.sock"));
  readonly agent = new AgentProcess({
    dir: this.dir,
    argv: [process.execPath, MAIN],
    nriSocket: this.runtime.path,
    cdiDir: join(this.dir, "cdi"),
    lever: "runtime",
    online: CpuSet.parse("0-7"),
    cgroupRoot: new CgroupTree(join(this.dir, "cg"), "0-7").root,
  });

  log(from = 0): string {
    return readFileSync(this.agent.daemon?.log ?? "", "utf8").slice(from);
  }

  async end(): Promise<void> {
    await this.agent.daemon?.stop();
    await this.runtime.close();
    rmSync(this.dir, { recursive: true });
  }
}

async function meets(pair: Pair, bytes: Uint8Array, why: string): Promise<void> {
  const { runtime, agent } = pair;
  await runtime.listen();
  await agent.startBeside(runtime);
  const pid = agent.daemon?.pid;
  const from = pair.log().length;
  const lost = new Promise<void>((resolve) => {
    runtime.onLost = resolve;
  });
  const again = runtime.plugin();
  runtime.raw(bytes);
  await lost;
  const warned = (): Record<string, unknown> | undefined => {
    const [line] = pair
      .log(from)
      .split("\n")
      .filter((one) => one.includes("no NRI session with the container runtime"));
    return line === undefined ? undefined : (JSON.parse(line) as Record<string, unknown>);
  };
  expect(await until("it says why", warned)).to.deep.include({
    level: "warn",
    cause: `the runtime sent what cannot be understood: ${why}`,
    socket: runtime.path,
  });
  await again;
  await runtime.synchronize([], []);
  await agent.synchronized();
  expect(runtime.connections).to.equal(2);
  expect(agent.daemon?.isAlive()).to.equal(true);
  expect(agent.daemon?.pid).to.equal(pid);
  const { adjust } = await runtime.create(pod("p"), container("p", "after"));
  expect(adjust?.linux?.resources?.cpu?.cpus).to.equal("0-7");
}

// All at once, since each is mostly a wait.
describe("what is no NRI, from the runtime's side", function () {
  this.timeout(60_000);
  const met = new Map<string, { readonly pair: Pair; readonly outcome: Promise<unknown> }>();
  before(() => {
    for (const [what, bytes, why] of CASES) {
      const pair = new Pair();
      const outcome = meets(pair, bytes, why);
      // Told by its own test, which may come to it later.
      outcome.catch(() => {});
      met.set(what, { pair, outcome });
    }
  });
  after(() => Promise.all([...met.values()].map(({ pair }) => pair.end())));

  for (const [what] of CASES)
    it(`${what}: the agent ends the session by itself, says why, and comes back`, async () => {
      await met.get(what)?.outcome;
    });
});
