import type { MessageInitShape } from "@bufbuild/protobuf";
import { AgentFault, type AgentPort } from "@dracpu/driver/prepare/ports.ts";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { AllocationState, type AllocationSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { Container, PodSandbox } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { expect } from "chai";
import { container, pod } from "../kit/enforcer.ts";

export const CLAIM = "11111111-2222-3333-4444-555555555555";
const MACHINE = { online: "0-7", present: "0-7", bootId: "b" };

/** An agent that knows of nothing yet, wherever it runs. */
export interface ContractWorld {
  readonly port: AgentPort;
  /** CPUs that claims hold, as Inspect tells. */
  held(): Promise<string | undefined>;
  /** A session of the runtime with these containers, whose cgroups have all CPUs or their claim's. */
  connect(pods: PodSandbox[], containers: Container[], cpus?: string): Promise<void>;
  /** What the container's cgroup has. */
  cpusOf(container: Container): string | undefined;
}

export const soon = (): AbortSignal => AbortSignal.timeout(5000);

export function allocation(uid: string, cpus: string): MessageInitShape<typeof AllocationSchema> {
  return {
    claim: { uid, namespace: "default", name: uid },
    state: AllocationState.PREPARED,
    consumers: [{ resource: "pods", uid: "p1", name: "p1" }],
    shares: [{ request: "cpus", pool: "n", device: "d", cpus }],
  };
}

export function replacing(
  port: AgentPort,
  epoch: bigint,
  ...allocations: MessageInitShape<typeof AllocationSchema>[]
): ReturnType<AgentPort["replace"]> {
  return port.replace({ epoch, revision: 1n, machine: MACHINE, allocations }, soon());
}

/** The fault's code, or "accepted". */
export function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "accepted",
    (cause: unknown) => (cause instanceof AgentFault ? cause.code : String(cause)),
  );
}

/** What holds of every agent behind the driver's port. */
export function contractCalls(world: () => ContractWorld): void {
  const port = (): AgentPort => world().port;
  const hello = (): ReturnType<AgentPort["hello"]> => port().hello({ protocolMin: 1, protocolMax: 1 }, soon());
  const replace = (
    epoch: bigint,
    ...allocations: MessageInitShape<typeof AllocationSchema>[]
  ): ReturnType<AgentPort["replace"]> => replacing(port(), epoch, ...allocations);

  it("says what it holds, and agrees on a protocol or on none", async () => {
    const said = await port().hello(
      { driverInstance: "d", driverVersion: "1", protocolMin: 1, protocolMax: 9 },
      soon(),
    );
    expect([said.protocol, said.highestEpoch, said.truth]).to.deep.equal([1, 0n, 1]);
    expect((await port().hello({ protocolMin: 2, protocolMax: 9 }, soon())).protocol).to.equal(0);
  });

  it("takes a whole truth, and refuses an epoch that was overtaken", async () => {
    await replace(5n, allocation("a", "2-3"));
    expect(await codeOf(replace(4n))).to.equal("stale");
    expect(await codeOf(replace(0n))).to.equal("refused");
    const { highestEpoch, allocations } = await hello();
    expect(highestEpoch).to.equal(5n);
    expect(allocations.map((one) => [one.claim?.uid, one.shares[0]?.cpus])).to.deep.equal([["a", "2-3"]]);
  });

  it("applies changes in sequence, the same one twice as once, and a gap not at all", async () => {
    await replace(1n, allocation("a", "2-3"));
    const change = { epoch: 1n, baseRevision: 1n, revision: 2n, upserts: [allocation("b", "4")] };
    const more = { upserts: [allocation("c", "5")] };
    expect(await codeOf(port().apply(change, soon()))).to.equal("accepted");
    expect(await codeOf(port().apply(change, soon()))).to.equal("accepted");
    expect(await codeOf(port().apply({ ...change, ...more, baseRevision: 5n, revision: 6n }, soon()))).to.equal(
      "stale",
    );
    expect(
      await codeOf(port().apply({ ...change, ...more, baseRevision: 2n, revision: 3n, digest: "other" }, soon())),
    ).to.equal("stale");
    expect((await hello()).held?.revision).to.equal(2n);
  });

  it("refuses to give a CPU to two claims, and nothing else changes", async () => {
    await replace(1n, allocation("a", "2-3"));
    const both = { epoch: 1n, baseRevision: 1n, revision: 2n, upserts: [allocation("b", "3-4")] };
    expect(await codeOf(port().apply(both, soon()))).to.equal("refused");
    expect(await codeOf(replace(1n, allocation("a", "2-3"), allocation("b", "3")))).to.equal("refused");
    expect(await codeOf(replace(1n, allocation("a", "x")))).to.equal("refused");
    expect(await world().held()).to.equal("2-3");
  });

  it("holds a claim for pending without a session, and for enforced when everybody was read back off its CPUs", async () => {
    const { agentInstance, nriSessionId } = await replace(1n, allocation("a", "2-3"));
    expect(nriSessionId).to.equal("");
    const ask = (timeoutMs: number): ReturnType<AgentPort["await"]> =>
      port().await({ epoch: 1n, revision: 1n, claims: ["a"], timeoutMs }, AbortSignal.timeout(timeoutMs + 5000));
    const pending = await ask(0);
    expect(pending.claims[0]).to.include({ claimUid: "a", progress: Progress.PENDING });
    expect(pending.claims[0]?.why).to.not.equal("");
    const shared = container("s", "s1");
    await world().connect([pod("s")], [shared]);
    const enforced = await ask(10_000);
    expect(enforced.claims[0], enforced.claims[0]?.why).to.include({ claimUid: "a", progress: Progress.ENFORCED });
    expect(world().cpusOf(shared)).to.equal("0-1,4-7");
    expect([pending.agentInstance, enforced.agentInstance]).to.deep.equal([agentInstance, agentInstance]);
    expect([pending.nriSessionId, enforced.nriSessionId === ""], "the session is told from none").to.deep.equal([
      "",
      false,
    ]);
  });

  it("keeps a claim whose container lives as it is, and says that what the driver wants is impossible", async () => {
    await replace(1n, allocation(CLAIM, "2-3"));
    const living = container("p1", "x", {
      cdi: [`dra.k8s.io/cpu=claim-${CLAIM}-cpus`],
      annotations: { "dra.cpu/claims": CLAIM },
    });
    await world().connect([pod("p1")], [living], "2-3");
    const { kept } = await replace(2n, allocation(CLAIM, "4-5"));
    expect(kept.map((one) => [one.claim?.uid, one.shares[0]?.cpus])).to.deep.equal([[CLAIM, "2-3"]]);
    const answer = await port().await({ epoch: 2n, revision: 1n, claims: [CLAIM], timeoutMs: 5000 }, soon());
    expect(answer.claims[0]).to.include({ claimUid: CLAIM, progress: Progress.IMPOSSIBLE });
    expect(answer.claims[0]?.why).to.include("2-3").and.include("p1");
    expect(answer.kept.map((one) => one.shares[0]?.cpus)).to.deep.equal(["2-3"]);
    expect(world().cpusOf(living)).to.equal("2-3");
  });

  it("streams what it tells, from the oldest event that is kept and from where a reader was", async () => {
    await replace(1n, allocation("a", "2-3"));
    const from = async (afterSeq: bigint): Promise<bigint> => {
      const ending = new AbortController();
      for await (const { what } of port().watchEvents(afterSeq, ending.signal)) {
        ending.abort();
        if (what.case === "event") return what.value.seq;
        break;
      }
      return 0n;
    };
    expect(await from(0n)).to.equal(1n);
    expect(await from(1n)).to.equal(2n);
  });
}
