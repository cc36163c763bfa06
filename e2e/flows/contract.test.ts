import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { AgentClient } from "@dracpu/driver/control/agentclient.ts";
import { AgentFault, type AgentPort } from "@dracpu/driver/prepare/ports.ts";
import { serveControl } from "@dracpu/nri-agent/control/serve.ts";
import { toStatus } from "@dracpu/nri-agent/control/status.ts";
import { watchEvents } from "@dracpu/nri-agent/inspect/watch.ts";
import { serveInspect } from "@dracpu/nri-agent/inspect/serve.ts";
import { Code } from "@connectrpc/connect";
import {
  ApplyRequestSchema,
  AwaitRequestSchema,
  HelloRequestSchema,
  Progress,
  ReplaceRequestSchema,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { WatchEventsRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import { ERROR_CLAIMS } from "@dracpu/shared-proto/contract/names.ts";
import { expect } from "chai";
import { container, pod, TestAgent } from "../kit/enforcer.ts";
import { until } from "../kit/node/processes.ts";
import { allocation, CLAIM, codeOf, contractCalls, replacing, soon } from "./contractcalls.ts";

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
    watchEvents: (afterSeq, signal) =>
      watchEvents(agent.enforcer.events, create(WatchEventsRequestSchema, { afterSeq }), signal),
  };
}

for (const how of ["in process", "over its socket"] as const) {
  describe(`the contract, ${how}`, () => {
    const dir = mkdtempSync(join(tmpdir(), "ct-"));
    const controller = new AbortController();
    let agent: TestAgent;
    let port: AgentPort;
    let close: () => Promise<void>;
    const serve = async (served: TestAgent): Promise<void> => {
      close = () => Promise.resolve();
      port = inProcess(served);
      if (how === "over its socket") {
        const path = join(dir, "control.sock");
        close = await serveControl(path, served.enforcer, controller.signal);
        port = new AgentClient(path);
      }
    };
    beforeEach(async () => {
      agent = new TestAgent();
      await serve(agent);
    });
    afterEach(async () => {
      agent.enforcer.stop();
      await close();
    });
    after(() => rmSync(dir, { recursive: true }));

    const replace = (epoch: bigint, ...allocations: ReturnType<typeof allocation>[]): Promise<unknown> =>
      replacing(port, epoch, ...allocations);
    const progress = async (uid: string, timeoutMs = 0): Promise<Progress | undefined> =>
      (await port.await({ epoch: 1n, revision: 1n, claims: [uid], timeoutMs }, soon())).claims[0]?.progress;

    contractCalls(() => ({
      port,
      held: () => Promise.resolve(agent.enforcer.state(create(GetStateRequestSchema)).pool?.held),
      connect: async (pods, containers, cpus = "0-7") => {
        for (const { linux } of containers) agent.cgroup.add(linux?.cgroupsPath ?? "", cpus);
        await agent.connect(pods, containers);
      },
      cpusOf: ({ linux }) => agent.cgroup.cpusOf(linux?.cgroupsPath ?? ""),
    }));

    it("keeps a whole truth in its file before it answers", async () => {
      await replace(5n, allocation("a", "2-3"));
      expect(agent.saved.map((one) => [one.epoch, one.allocations.length])).to.deep.equal([[5n, 1]]);
    });

    it("accepts nothing while its disk is full, and goes on when there is room, without a restart", async () => {
      await replace(1n, allocation("a", "2-3"));
      agent.diskFull = true;
      expect(
        await codeOf(
          port.apply({ epoch: 1n, baseRevision: 1n, revision: 2n, upserts: [allocation("b", "4")] }, soon()),
        ),
      ).to.equal("away");
      expect(agent.enforcer.state(create(GetStateRequestSchema)).pool?.held).to.equal("2-3");
      agent.diskFull = false;
      expect(
        await codeOf(
          port.apply({ epoch: 1n, baseRevision: 1n, revision: 2n, upserts: [allocation("b", "4")] }, soon()),
        ),
      ).to.equal("accepted");
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
      await close();
      await serve(again);
      // What a client kept open to the earlier life is of no use any more.
      const hello = () => port.hello({ protocolMin: 1, protocolMax: 1 }, soon());
      const { allocations, highestEpoch } = await until("the next life answers", hello);
      expect([highestEpoch, allocations.map((one) => one.claim?.uid)]).to.deep.equal([1n, [CLAIM]]);
      expect(await codeOf(replace(0n))).to.equal("refused");
      again.cgroup.add("/kubepods/s/s1", "0-7");
      await again.connect([pod("s")], [container("s", "s1")]);
      expect(again.cgroup.cpusOf("/kubepods/s/s1")).to.equal("0-1,4-7");
      const reply = again.enforcer.hooks.createContainer(
        pod("p1"),
        container("p1", "x", { cdi: [`dra.k8s.io/cpu=claim-${CLAIM}-cpus`], gate: true }),
      );
      expect(reply.adjust?.linux?.resources?.cpu).to.deep.include({ cpus: "2-3" });
      expect(reply.adjust?.linux?.resources?.cpu?.quota?.value).to.equal(0n);
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
  it("stream events from where a reader was, and tell a gap", async () => {
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
