import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AgentClient } from "@dracpu/driver/control/agentclient.ts";
import { AgentFault, type AgentPort } from "@dracpu/driver/prepare/ports.ts";
import { serveControl } from "@dracpu/nri-agent/control/serve.ts";
import { toStatus } from "@dracpu/nri-agent/control/status.ts";
import { serveInspect } from "@dracpu/nri-agent/inspect/serve.ts";
import { Code } from "@connectrpc/connect";
import {
  ApplyRequestSchema,
  AwaitRequestSchema,
  HelloRequestSchema,
  Progress,
  ReplaceRequestSchema,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import { AllocationState, type AllocationSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { ERROR_CLAIMS } from "@dracpu/shared-proto/contract/names.ts";
import { expect } from "chai";
import { container, pod, TestAgent } from "../kit/enforcer.ts";

const MACHINE = { online: "0-7", present: "0-7", bootId: "b" };
const allocation = (uid: string, cpus: string): MessageInitShape<typeof AllocationSchema> => ({
  claim: { uid, namespace: "default", name: uid },
  state: AllocationState.PREPARED,
  consumers: [{ resource: "pods", uid: "p1", name: "p1" }],
  shares: [{ request: "cpus", pool: "n", device: "d", cpus }],
});
const soon = (): AbortSignal => AbortSignal.timeout(5000);
const CLAIM = "11111111-2222-3333-4444-555555555555";

/** The agent in this process behind the driver's port: no socket, the same faults. */
function inProcess(agent: TestAgent): AgentPort {
  const { enforcer } = agent;
  const faulty = async <T>(run: () => T | Promise<T>): Promise<T> => {
    try {
      return await run();
    } catch (cause) {
      const { code, rawMessage, metadata } = toStatus(cause);
      throw new AgentFault(
        code === Code.FailedPrecondition ? "stale" : code === Code.InvalidArgument ? "refused" : "away",
        rawMessage,
        { claims: (metadata.get(ERROR_CLAIMS) ?? "").split(",") },
      );
    }
  };
  return {
    hello: (request) => faulty(() => enforcer.hello(create(HelloRequestSchema, request as object))),
    replace: (request) => faulty(() => enforcer.replace(create(ReplaceRequestSchema, request as object))),
    apply: (request) => faulty(() => enforcer.apply(create(ApplyRequestSchema, request as object))),
    await: (request, signal) => faulty(() => enforcer.await(create(AwaitRequestSchema, request as object), signal)),
    watchEvents: () => {
      throw new Error("watched on the socket only");
    },
  };
}

for (const how of ["in process", "over its socket"] as const) {
  describe(`the contract, ${how}`, () => {
    const dir = mkdtempSync(join(tmpdir(), "ct-"));
    const controller = new AbortController();
    let agent: TestAgent;
    let port: AgentPort;
    let close: () => Promise<void>;
    beforeEach(async () => {
      agent = new TestAgent();
      close = () => Promise.resolve();
      port = inProcess(agent);
      if (how === "over its socket") {
        const path = join(dir, "control.sock");
        close = await serveControl(path, agent.enforcer, controller.signal);
        port = new AgentClient(path);
      }
    });
    afterEach(async () => {
      agent.enforcer.stop();
      await close();
    });
    after(() => rmSync(dir, { recursive: true }));

    const replace = (epoch: bigint, ...allocations: MessageInitShape<typeof AllocationSchema>[]): Promise<unknown> =>
      port.replace({ epoch, revision: 1n, machine: MACHINE, allocations }, soon());
    const code = (call: Promise<unknown>): Promise<string> =>
      call.then(
        () => "accepted",
        (cause: unknown) => (cause instanceof AgentFault ? cause.code : String(cause)),
      );
    const progress = async (uid: string, timeoutMs = 0): Promise<Progress | undefined> =>
      (await port.await({ epoch: 1n, revision: 1n, claims: [uid], timeoutMs }, soon())).claims[0]?.progress;

    it("says what it holds, and agrees on a protocol or on none", async () => {
      const hello = await port.hello(
        { driverInstance: "d", driverVersion: "1", protocolMin: 1, protocolMax: 9 },
        soon(),
      );
      expect([hello.protocol, hello.highestEpoch, hello.truth]).to.deep.equal([1, 0n, 1]);
      expect((await port.hello({ protocolMin: 2, protocolMax: 9 }, soon())).protocol).to.equal(0);
    });

    it("takes a whole truth, keeps it in its file first, and refuses an epoch that was overtaken", async () => {
      await replace(5n, allocation("a", "2-3"));
      expect(agent.saved.map((one) => [one.epoch, one.allocations.length])).to.deep.equal([[5n, 1]]);
      expect(await code(replace(4n))).to.equal("stale");
      expect(await code(replace(0n))).to.equal("refused");
      expect((await port.hello({ protocolMin: 1, protocolMax: 1 }, soon())).highestEpoch).to.equal(5n);
    });

    it("applies changes in sequence, the same one twice as once, and a gap not at all", async () => {
      await replace(1n, allocation("a", "2-3"));
      const change = { epoch: 1n, baseRevision: 1n, revision: 2n, upserts: [allocation("b", "4")] };
      expect(await code(port.apply(change, soon()))).to.equal("accepted");
      expect(await code(port.apply(change, soon()))).to.equal("accepted");
      expect(
        await code(port.apply({ ...change, baseRevision: 5n, revision: 6n, upserts: [allocation("c", "5")] }, soon())),
      ).to.equal("stale");
      expect(
        await code(
          port.apply(
            { ...change, baseRevision: 2n, revision: 3n, upserts: [allocation("c", "5")], digest: "other" },
            soon(),
          ),
        ),
      ).to.equal("stale");
      const { held } = await port.hello({ protocolMin: 1, protocolMax: 1 }, soon());
      expect(held?.revision).to.equal(2n);
    });

    it("refuses to give a CPU to two claims, and nothing else changes", async () => {
      await replace(1n, allocation("a", "2-3"));
      expect(
        await code(
          port.apply({ epoch: 1n, baseRevision: 1n, revision: 2n, upserts: [allocation("b", "3-4")] }, soon()),
        ),
      ).to.equal("refused");
      expect(await code(replace(1n, allocation("a", "2-3"), allocation("b", "3")))).to.equal("refused");
      expect(await code(replace(1n, allocation("a", "x")))).to.equal("refused");
      expect(agent.enforcer.state(create(GetStateRequestSchema)).pool?.held).to.equal("2-3");
    });

    it("accepts nothing while its disk is full, and goes on when there is room, without a restart", async () => {
      await replace(1n, allocation("a", "2-3"));
      agent.diskFull = true;
      expect(
        await code(port.apply({ epoch: 1n, baseRevision: 1n, revision: 2n, upserts: [allocation("b", "4")] }, soon())),
      ).to.equal("away");
      expect(agent.enforcer.state(create(GetStateRequestSchema)).pool?.held).to.equal("2-3");
      agent.diskFull = false;
      expect(
        await code(port.apply({ epoch: 1n, baseRevision: 1n, revision: 2n, upserts: [allocation("b", "4")] }, soon())),
      ).to.equal("accepted");
    });

    it("holds a claim for pending without a session, and for enforced when everybody was read back off its CPUs", async () => {
      await replace(1n, allocation("a", "2-3"));
      expect(await progress("a")).to.equal(Progress.PENDING);
      agent.cgroup.add("/kubepods/s/s1", "0-7");
      await agent.connect([pod("s")], [container("s", "s1")]);
      expect(await progress("a", 2000)).to.equal(Progress.ENFORCED);
      expect(agent.cgroup.cpusOf("/kubepods/s/s1")).to.equal("0-1,4-7");
    });

    it("stays pending for as long as one container cannot be moved, and names it", async () => {
      await replace(1n, allocation("a", "2-3"));
      agent.cgroup.add("/kubepods/s/s1", "0-7");
      agent.cgroup.stuck = "/kubepods/s/s1";
      await agent.connect([pod("s")], [container("s", "s1")]);
      const { claims } = await port.await({ epoch: 1n, revision: 1n, claims: ["a"], timeoutMs: 300 }, soon());
      expect(claims[0]).to.deep.include({ progress: Progress.PENDING });
      expect(claims[0]?.why).to.include("EACCES");
      expect(claims[0]?.containers.map((one) => one.podName)).to.deep.equal(["s"]);
      agent.cgroup.stuck = "";
      expect(await progress("a", 3000)).to.equal(Progress.ENFORCED);
    });

    it("drains a claim that is no longer named, until none of its containers has a process", async () => {
      await replace(1n, allocation(CLAIM, "2-3"));
      agent.cgroup.add("/kubepods/p1/x", "2-3");
      await agent.connect(
        [pod("p1")],
        [
          container("p1", "x", {
            cdi: [`dra.k8s.io/cpu=claim-${CLAIM}-cpus`],
            annotations: { "dra.cpu/claims": CLAIM },
          }),
        ],
      );
      await port.apply({ epoch: 1n, baseRevision: 1n, revision: 2n, removals: [CLAIM] }, soon());
      expect(await progress(CLAIM)).to.equal(Progress.LIVING);
      expect(agent.enforcer.state(create(GetStateRequestSchema)).pool?.held).to.equal("2-3");
      agent.enforcer.hooks.stopContainer(pod("p1"), container("p1", "x"));
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(await progress(CLAIM), "its grace runs").to.equal(Progress.LIVING);
      const group = agent.cgroup.groups.get("/kubepods/p1/x");
      if (group !== undefined) group.populated = false;
      expect(await progress(CLAIM, 3000)).to.equal(Progress.DRAINED);
      expect(agent.enforcer.state(create(GetStateRequestSchema)).pool?.held).to.equal("");
    });

    it("keeps what it held through a restart, and refuses nobody's containers that it knows", async () => {
      await replace(1n, allocation(CLAIM, "2-3"));
      const again = new TestAgent(agent.saved.at(-1));
      again.cgroup.add("/kubepods/s/s1", "0-7");
      await again.connect([pod("s")], [container("s", "s1")]);
      expect(again.cgroup.cpusOf("/kubepods/s/s1")).to.equal("0-1,4-7");
      const reply = again.enforcer.hooks.createContainer(
        pod("p1"),
        container("p1", "x", { cdi: [`dra.k8s.io/cpu=claim-${CLAIM}-cpus`], gate: true }),
      );
      expect(reply.adjust?.linux?.resources?.cpu).to.deep.include({ cpus: "2-3" });
      expect(reply.adjust?.linux?.resources?.cpu?.quota?.value).to.equal(-1n);
      expect(reply.adjust?.mounts.map((mount) => mount.destination)).to.deep.equal(["-/run/dra-driver-cpu/gate-v1"]);
      expect(reply.adjust?.env.map((one) => `${one.key}=${one.value}`)).to.deep.equal(["DRA_CPUS=2-3"]);
      again.enforcer.stop();
    });
  });
}

describe("the sockets", () => {
  const dir = mkdtempSync(join(tmpdir(), "cs-"));
  const controller = new AbortController();
  const agent = new TestAgent();
  const control = join(dir, "ctl", "control.sock");
  const inspect = join(dir, "inspect.sock");
  const closes: (() => Promise<void>)[] = [];
  before(async () => {
    closes.push(
      await serveControl(control, agent.enforcer, controller.signal),
      await serveInspect(inspect, agent.enforcer, "0", controller.signal),
    );
  });
  after(async () => {
    controller.abort();
    agent.enforcer.stop();
    for (const close of closes) await close();
    rmSync(dir, { recursive: true });
  });
  const say = (path: string, text: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connect({ path });
      let answer = "";
      socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
      socket.on("close", () => resolve(answer));
      socket.on("error", reject);
      socket.write(text);
    });
  const request = (method: string, body: string, headers = ""): string =>
    `POST /dracpu.agent.v1.${method} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n${headers}\r\n${body}`;

  it("answer a plain HTTP request with JSON", async () => {
    expect(await say(inspect, request("Inspect/GetState", "{}")))
      .to.include("200 OK")
      .and.include('"truth":"TRUTH_NONE"');
  });
  it("live through an odd Host header", async () => {
    for (const host of ["%2Fx", "a b", "[", "http://", "\u00ff"]) {
      await say(inspect, request("Inspect/GetState", "{}").replace("Host: x", `Host: ${host}`));
    }
    expect(await say(inspect, request("Inspect/GetState", "{}"))).to.include("200 OK");
  });
  it("refuse a body that is too long, garbage, and methods of nobody", async () => {
    expect(
      await say(inspect, request("Inspect/GetState", `{"podName":"${"x".repeat(1 << 20)}"}`)).catch(() => ""),
    ).not.to.include("200 OK");
    expect(await say(inspect, request("Inspect/GetState", "{"))).to.include("400");
    expect(await say(inspect, request("Inspect/Nothing", "{}"))).to.include("404");
    expect(await say(inspect, request("Control/Replace", "{}"))).to.include("404");
    expect(await say(inspect, "\0\0\0\0garbage\r\n\r\n")).to.include("400");
  });
  it("serve others beside clients that never finish a request", async () => {
    const idle = Array.from({ length: 20 }, () => connect({ path: inspect }));
    for (const socket of idle) {
      socket.on("error", () => {});
      socket.write("POST /dracpu.agent.v1.Inspect/GetState HTTP/1.1\r\nHost: x\r\nContent-Le");
    }
    expect(await say(inspect, request("Inspect/GetState", "{}"))).to.include("200 OK");
    for (const socket of idle) socket.destroy();
  });
  it("stream events from where a reader was, with heartbeats, and tell a gap", async () => {
    const client = new AgentClient(control);
    const until = new AbortController();
    const seen: string[] = [];
    for (let n = 0; n < 100; n++) agent.enforcer.events.add({ message: `e${n}` });
    for await (const { what } of client.watchEvents(3n, until.signal)) {
      if (what.case === "gap") seen.push(`gap ${what.value.afterSeq}-${what.value.oldestSeq}`);
      if (what.case === "event") seen.push(what.value.message);
      if (seen.at(-1) === "e99") break;
    }
    until.abort();
    expect(seen[0]).to.match(/^gap 3-/);
    expect(seen.length).to.equal(65);
  });
});
