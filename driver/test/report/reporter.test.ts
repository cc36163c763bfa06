import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { CONTAINER_CODES } from "@dracpu/shared-proto/codes/containers.ts";
import { create } from "@bufbuild/protobuf";
import { EventKind, EventSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import { expect } from "chai";
import { tidingsOf } from "../../src/report/agentevents.ts";
import { unknownRequests } from "../../src/report/requests.ts";
import type { KubernetesEvent } from "../../src/report/ports.ts";
import { claimNamed, podNamed, Reporter } from "../../src/report/reporter.ts";

describe("Kubernetes Events", () => {
  const { signal } = new AbortController();
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const world = (fails = "") => {
    const written: KubernetesEvent[] = [];
    const warned: unknown[] = [];
    let dropped = 0;
    let now = 0;
    let time = 1_700_000_000_123;
    const reporter = new Reporter({
      api: {
        pod: () => Promise.resolve(undefined),
        write: async (event) => {
          await Promise.resolve();
          if (fails !== "") throw new Error(fails);
          written.push(event);
        },
      },
      driver: "dra.cpu",
      nodeName: "n",
      log: { info: () => {}, warn: (_message, fields) => warned.push(fields?.["cause"]), error: () => {} },
      now: () => now,
      time: () => time,
      onDropped: () => (dropped += 1),
    });
    return {
      reporter,
      written,
      warned,
      dropped: () => dropped,
      pass: (ms: number) => (now += ms),
      set: (ms: number) => (time = ms),
    };
  };

  it("name their object, lie in its namespace, and are few for each object and reason", async () => {
    const { reporter, written, dropped } = world();
    for (let n = 0; n < 12; n++) reporter.tell(podNamed("a", "p", "u"), "ContainerRefused", "no", signal);
    reporter.tell(podNamed("a", "q", "v"), "ContainerRefused", "no", signal);
    reporter.tell(claimNamed({ namespace: "b", name: "c", uid: "w" }), "UnprepareFailed", "x".repeat(5000), signal);
    await settled();
    expect(written.map((one) => one.involvedObject.name)).to.deep.equal(["p", "p", "p", "p", "p", "q", "c"]);
    expect(dropped()).to.equal(7);
    const last = written.at(-1);
    expect(last?.metadata.namespace).to.equal("b");
    expect(last?.message.length).to.equal(1000);
    expect(last?.lastTimestamp).to.equal("2023-11-14T22:13:20Z");
    expect(last?.involvedObject).to.include({ kind: "ResourceClaim", apiVersion: "resource.k8s.io/v1", uid: "w" });
  });

  it("are written on when the clock is set back", async () => {
    const { reporter, written, pass, set } = world();
    for (let n = 0; n < 40; n++) reporter.tell(podNamed("a", `p${n}`, "u"), "ContainerRefused", "no", signal);
    await settled();
    const before = written.length;
    set(1_600_000_000_000);
    pass(61_000);
    reporter.tell(podNamed("a", "q", "u"), "ContainerRefused", "no", signal);
    await settled();
    expect(written.slice(before).map(({ lastTimestamp }) => lastTimestamp)).to.deep.equal(["2020-09-13T12:26:40Z"]);
  });

  it("are at most 30 a minute, however many there are to write, and none hides another", async () => {
    const { reporter, written, dropped, pass } = world();
    const codes = Object.values(CONTAINER_CODES);
    for (let n = 0; n < 1000; n++)
      reporter.tell(podNamed("a", `p${n}`, "u"), "ContainerRefused", "no", signal, codes[0]);
    for (const code of codes.slice(1, 10))
      reporter.tell(podNamed("a", "q", code.id), "ContainerRefused", "no", signal, code);
    for (const reason of ["UnprepareFailed", "MaskNotSet", "Prepared"] as const)
      for (let n = 0; n < 20; n++) reporter.tell(podNamed("a", `r${n}`, "u"), reason, "no", signal);
    await settled();
    expect(written.length).to.be.at.most(30);
    expect(written.length + dropped()).to.equal(1069);
    const seen = new Set(written.map((one) => `${one.reason} ${/\[(.*)\]/.exec(one.message)?.[1] ?? ""}`));
    expect(seen.size).to.equal(13);
    pass(60_000);
    reporter.tell(podNamed("b", "p", "u"), "ContainerRefused", "no", signal, codes[0]);
    await settled();
    expect(written.at(-1)?.involvedObject.namespace).to.equal("b");
  });

  it("that may not be written are counted, and said once", async () => {
    const { reporter, warned, dropped } = world("forbidden");
    for (const name of ["p", "q", "r"]) reporter.tell(podNamed("a", name, "u"), "ContainerRefused", "no", signal);
    await settled();
    expect(warned).to.deep.equal(["forbidden"]);
    expect(dropped()).to.equal(3);
  });

  it("tell of a container that names a request which its claim lacks, and of no other", () => {
    const claim = {
      metadata: { name: "c-x1", namespace: "a", uid: "u" },
      status: {
        allocation: { devices: { results: [{ request: "cpus/big", driver: "dra.cpu", pool: "n", device: "d" }] } },
      },
    };
    const uses = (name: string, request?: string) => ({
      name: `${name}-${request ?? "all"}`,
      resources: { claims: [request === undefined ? { name } : { name, request }] },
    });
    const pod = {
      spec: {
        resourceClaims: [{ name: "mine" }, { name: "other", resourceClaimName: "else" }],
        initContainers: [uses("mine", "cpu")],
        containers: [uses("mine"), uses("mine", "cpus"), uses("other", "cpu"), { name: "plain" }],
      },
      status: { resourceClaimStatuses: [{ name: "mine", resourceClaimName: "c-x1" }] },
    };
    const [sentence, ...more] = unknownRequests(pod, claim);
    expect(more).to.deep.equal([]);
    expect(sentence).to.include("Container mine-cpu names request cpu of claim c-x1, which has cpus");
  });

  it("come from what the agent refuses and repairs now, and from nothing it did long ago", () => {
    const container = { id: "i", name: "c", podUid: "u", podNamespace: "a", podName: "p" };
    const event = (kind: EventKind, timeMs: number) => create(EventSchema, { kind, timeMs: BigInt(timeMs), container });
    expect(tidingsOf(event(EventKind.REFUSED, 1000), "n", 2000)).to.deep.include({ reason: "ContainerRefused" });
    expect(tidingsOf(event(EventKind.ESCAPED, 1000), "n", 2000)?.about).to.deep.include({ kind: "Pod", name: "p" });
    expect(tidingsOf(event(EventKind.REFUSED, 1000), "n", 120_000)).to.equal(undefined);
    expect(tidingsOf(event(EventKind.REPAIRED, 1000), "n", 2000)?.reason).to.equal("ContainerRepaired");
    const problem = (code: string) => tidingsOf({ ...event(EventKind.PROBLEM, 1000), code }, "n", 2000)?.reason;
    expect([CODES.confined.id, CODES.maskFailed.id].map(problem)).to.deep.equal(["ContainerConfined", "MaskNotSet"]);
    const pool = (code: string) =>
      tidingsOf(create(EventSchema, { kind: EventKind.POOL, timeMs: 1n, code }), "n", 2)?.reason;
    expect(["", CODES.poolFellBack.id].map(pool)).to.deep.equal([undefined, "PoolSqueezed"]);
    expect(tidingsOf(event(EventKind.PINNED, 1000), "n", 2000)).to.equal(undefined);
    expect(tidingsOf(create(EventSchema, { kind: EventKind.SESSION, timeMs: 1n }), "n", 2)?.about.kind).to.equal(
      "Node",
    );
  });
});
