import { create } from "@bufbuild/protobuf";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import {
  ApplyResponseSchema,
  HelloResponseSchema,
  Progress,
  ReplaceResponseSchema,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { EventSchema, WatchEventsResponseSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import { expect } from "chai";
import { Ledger, type Entry } from "../../src/ledger/ledger.ts";
import { AgentLink } from "../../src/prepare/agentlink.ts";
import { AgentFault, type AgentPort } from "../../src/prepare/ports.ts";

const entry = (uid: string, cpus: string): Entry => ({
  claim: { uid, namespace: "d", name: uid },
  phase: "preparing",
  consumers: [],
  shares: [{ request: "r", pool: "n", device: "x", cpus: CpuSet.parse(cpus) }],
  idle: CpuSet.empty,
  isolated: false,
  results: [],
  operationId: "",
});

describe("the link to the agent", () => {
  const ledger = new Ledger();
  const told: string[] = [];
  /** What each Apply says of its claims, and claims that were asked for by Await. */
  let enforced: readonly string[] = [];
  const asked: string[] = [];
  let hangs = false;
  let instance = "one";
  const watchedFrom: bigint[] = [];
  const never = (signal: AbortSignal): Promise<never> =>
    new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(new AgentFault("timeout", "the agent hangs")));
    });
  const agent: AgentPort = {
    hello: () =>
      Promise.resolve(create(HelloResponseSchema, { protocol: 1, agentVersion: "0", agentInstance: instance })),
    replace: async ({ machine }, signal) => {
      if (hangs) return never(signal);
      machines.push(machine?.online ?? "");
      await gate;
      return create(ReplaceResponseSchema);
    },
    apply: (_request, signal) =>
      hangs ? never(signal) : Promise.resolve(create(ApplyResponseSchema, { enforced: [...enforced] })),
    await: ({ claims = [] }, signal) => {
      asked.push(...claims);
      return never(signal);
    },
    watchEvents: async function* (after) {
      watchedFrom.push(after);
      await Promise.resolve();
      yield create(WatchEventsResponseSchema, {
        what: { case: "event", value: create(EventSchema, { seq: after + 3n }) },
      });
    },
  };
  /** CPUs that each Replace told of; one is answered when its gate opens. */
  const machines: string[] = [];
  let gate: Promise<void> = Promise.resolve();
  let online = "0-7";
  let epoch = 0n;
  let epochFails = "";
  const make = (): AgentLink =>
    new AgentLink({
      agent,
      ledger,
      machine: () => ({
        online: CpuSet.parse(online),
        present: CpuSet.parse("0-7"),
        reserved: CpuSet.empty,
        keepShared: CpuSet.empty,
        bootId: "b",
      }),
      instance: "d",
      log: { info: () => {}, warn: (message) => told.push(message), error: () => {} },
      epoch: {
        get: () => epoch,
        set: (next) => {
          epoch = next;
          return epochFails === "" ? Promise.resolve() : Promise.reject(new Error(epochFails));
        },
      },
      onEvent: () => {},
      onAgentMemory: () => {},
      adoptHeld: () => {},
    });

  it("keeps each caller's bound while the agent hangs and others wait without one", async () => {
    const link = make();
    await link.push(AbortSignal.timeout(1000));
    hangs = true;
    ledger.put(entry("a", "1"));
    const patient = new AbortController();
    const others = [link.push(patient.signal), link.push(patient.signal)];
    for (const other of others) other.catch(() => {});
    const began = performance.now();
    const why = await link.progress("a", 5000, AbortSignal.timeout(100)).catch((cause: Error) => cause.message);
    expect(why).to.include("did not answer in time");
    expect(performance.now() - began).to.be.below(1000);
    patient.abort();
    await Promise.allSettled(others);
    hangs = false;
  });

  it("asks nothing of a claim that was enforced with the answer to its change, and believes that once", async () => {
    const link = make();
    await link.push(AbortSignal.timeout(1000));
    ledger.put(entry("b", "2"));
    ledger.put(entry("c", "3"));
    enforced = ["b"];
    asked.length = 0;
    const progress = (uid: string): Promise<boolean | string> =>
      link.progress(uid, 50, AbortSignal.timeout(50)).then(
        (answer) => answer.progress === Progress.ENFORCED,
        () => "asked",
      );
    expect(await Promise.all(["b", "c"].map(progress))).to.deep.equal([true, "asked"]);
    expect(await progress("b")).to.equal("asked");
    expect(asked).to.deep.equal(["c", "b"]);
    enforced = [];
  });

  it("does not believe what was said with a change that nobody asked about", async () => {
    const link = make();
    await link.push(AbortSignal.timeout(1000));
    ledger.put(entry("b", "4"));
    enforced = ["b"];
    await link.push(AbortSignal.timeout(1000));
    asked.length = 0;
    await link.progress("b", 50, AbortSignal.timeout(50)).catch(() => {});
    expect(asked).to.deep.equal(["b"]);
    enforced = [];
  });

  it("tells of a machine that changes while the agent is being told", async () => {
    const { signal } = new AbortController();
    const link = make();
    machines.length = 0;
    online = "0-5";
    let open = (): void => {};
    gate = new Promise((resolve) => (open = resolve));
    const told = link.push(signal);
    for (let n = 0; n < 200 && machines.length === 0; n++) await new Promise((resolve) => setTimeout(resolve, 5));
    online = "0-7";
    link.machineChanged(signal);
    open();
    await told;
    await link.push(signal);
    expect(machines).to.deep.equal(["0-5", "0-7"]);
  });

  it("asks for events after the last one it saw, and from the oldest of another agent", async () => {
    const stop = new AbortController();
    const link = make();
    const run = link.run(stop.signal);
    for (let n = 0; n < 200 && watchedFrom.length < 2; n++) await new Promise((resolve) => setTimeout(resolve, 10));
    instance = "two";
    for (let n = 0; n < 200 && watchedFrom.length < 3; n++) await new Promise((resolve) => setTimeout(resolve, 10));
    stop.abort();
    await run;
    expect(watchedFrom.slice(0, 3)).to.deep.equal([0n, 3n, 0n]);
  });

  it("calls a full disk a full disk, and not a lost connection", async () => {
    epochFails = "Cannot write checkpoint.json: the disk is full; free space on it";
    epoch = 0n;
    const stop = new AbortController();
    const link = make();
    const run = link.run(stop.signal);
    for (let n = 0; n < 100 && !link.state().why.includes("disk"); n++)
      await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort();
    await run;
    expect(link.state().why).to.include("the disk is full").and.not.include("no connection");
    expect(told.at(-1)).to.include("the disk is full").and.not.include("no connection");
  });
});
