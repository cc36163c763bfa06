import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { Control, type ReplaceRequest } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { Inspect } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import { ContainerPhase, SessionState, Truth } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { expect } from "chai";
import { LastDriver } from "../../src/control/lettinggo.ts";

const CPUS = CpuSet.parse("0-3");
const signal = AbortSignal.timeout(10_000);
const RUNNING = ContainerPhase.RUNNING;

describe("the driver of a clean-up", () => {
  let dir = "";
  let server: Server | undefined;
  const said: ReplaceRequest[] = [];
  let features = ["let-go"];
  let truth: Truth = Truth.CONFIRMED;

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), "last-"));
    const ref = (name: string): object => ({ podNamespace: "ns", podName: "p", name });
    const state = {
      nri: { state: SessionState.SYNCHRONIZED },
      containers: [
        { ref: ref("right"), phase: RUNNING, mask: { wanted: "0-3", own: "0-3" } },
        { ref: ref("narrow"), phase: RUNNING, mask: { wanted: "0-3", own: "0" } },
        { ref: ref("alone"), phase: RUNNING, mask: { wanted: "1", own: "1" }, partition: "root" },
        { ref: ref("over"), phase: ContainerPhase.STOPPED, mask: { wanted: "1", own: "1" }, partition: "root" },
      ],
    };
    server = createServer(
      connectNodeAdapter({
        routes: (router) => {
          router.service(Control, {
            hello: () => ({ highestEpoch: 7n, agentVersion: "0.0.9", features }),
            replace: (request) => {
              said.push(request);
              truth = Truth.CONFIRMED;
              return {};
            },
          });
          router.service(Inspect, { getState: () => ({ state: { ...state, truth } }) });
        },
      }),
    );
    await new Promise<void>((resolve) => server?.listen(join(dir, "s"), resolve));
  });
  after(() => {
    server?.closeAllConnections();
    server?.close();
    rmSync(dir, { recursive: true });
  });

  const last = (): LastDriver =>
    new LastDriver(
      { control: join(dir, "s"), inspect: join(dir, "s") },
      { online: CPUS, present: CPUS, bootId: "boot" },
    );

  it("names no claim, and says that nobody is kept off anything any more", async () => {
    await last().letGo(signal);
    const [{ epoch, allocations, letGo, machine } = expect.fail("nothing was said")] = said;
    expect({ epoch, allocations, letGo, reserved: machine?.reserved }).to.deep.equal({
      epoch: 8n,
      allocations: [],
      letGo: true,
      reserved: "",
    });
  });

  it("waits for those whose masks are not theirs yet, and for those that have CPUs to themselves", async () => {
    expect((await last().view(signal)).wrong).to.deep.equal(["ns/p/narrow", "ns/p/alone"]);
  });

  it("tells an agent that has restarted once more", async () => {
    truth = Truth.RESTORED;
    const one = last();
    const before = said.length;
    expect((await one.view(signal)).blind).to.include("has restarted");
    expect(said.length).to.equal(before + 1);
    expect((await one.view(signal)).blind).to.equal("");
  });

  it("says of an agent that is too old to give up partitions that it is, and does not wait for it for ever", async () => {
    features = [];
    const one = last();
    await one.letGo(signal);
    expect(await one.view(signal)).to.deep.include({ forGood: true, wrong: [] });
    expect((await one.view(signal)).blind).to.match(
      /^agent 0\.0\.9 cannot give up claims' partitions and masks; one of release \S+ can$/,
    );
  });
});
