import { create, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { Dispatch } from "@dracpu/nri-agent/runtime/dispatch.ts";
import { CallFault } from "@dracpu/nri-agent/runtime/channel.ts";
import { allocationInit, machineToWire } from "@dracpu/shared-proto/contract/wire.ts";
import { ReplaceRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { GetStateRequestSchema } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { container, pod, TestAgent } from "../../kit/enforcer.ts";

/** The claim whose CPUs everybody is after, the pod that it is reserved for, and what it holds. */
export const CLAIM = "00000000-0000-4000-8000-00000000000a";
export const OWNER = "owner";
export const HELD = CpuSet.parse("2-3");

/** A node with a claim's container on 2-3 and a shared one on the rest, and the agent's side of the runtime's calls. */
export class AgentNode {
  readonly agent = new TestAgent();
  /** What hooks threw that is no refusal. */
  readonly defects: unknown[] = [];
  readonly dispatch = new Dispatch({
    hooks: this.agent.enforcer.hooks,
    onConfigure: () => {},
    onSynchronize: () => {},
    onDefect: (_method, cause) => this.defects.push(cause),
    onUnreadable: () => {},
    onHook: () => {},
    monotonic: () => performance.now() / 1000,
  });

  async start(): Promise<void> {
    const online = CpuSet.parse("0-7");
    await this.agent.enforcer.replace(
      create(ReplaceRequestSchema, {
        epoch: 1n,
        revision: 1n,
        machine: machineToWire({
          online,
          present: online,
          reserved: CpuSet.empty,
          keepShared: CpuSet.of(0),
          bootId: "b",
        }),
        allocations: [
          allocationInit({
            claim: { uid: CLAIM, namespace: "default", name: "claim" },
            state: "prepared",
            consumers: [{ resource: "pods", uid: OWNER, name: OWNER }],
            shares: [{ request: "cpus", pool: "n", device: "d", cpus: HELD }],
            idle: CpuSet.empty,
            isolated: false,
            operationId: "",
          }),
        ],
      }),
    );
    this.agent.cgroup.add("/kubepods/owner/mine", "2-3");
    this.agent.cgroup.add("/kubepods/other/theirs", "0-1,4-7");
    await this.agent.connect(
      [pod(OWNER), pod("other")],
      [
        container(OWNER, "mine", { cdi: [`dra.k8s.io/cpu=claim-${CLAIM}-cpus`], env: [`DRA_CPUSET_${CLAIM}=2-3`] }),
        container("other", "theirs"),
      ],
    );
  }

  /** A call of the runtime. @returns the answer's bytes, or the refusal; anything else is thrown. */
  async call(method: string, payload: Uint8Array): Promise<Uint8Array | CallFault> {
    try {
      return await this.dispatch.serve("nri.pkg.api.v1alpha1.Plugin", method, payload);
    } catch (cause) {
      if (cause instanceof CallFault) return cause;
      throw cause;
    }
  }

  /** What is wrong with the claim's CPUs now. */
  wrong(): string[] {
    const found = this.defects.map((cause) => `a hook failed: ${String((cause as Error).stack)}`);
    const { cgroup, enforcer } = this.agent;
    const mine = cgroup.cpusOf("/kubepods/owner/mine");
    if (mine !== "2-3") found.push(`the claim's container runs on ${String(mine)}`);
    const theirs = CpuSet.parse(cgroup.cpusOf("/kubepods/other/theirs") ?? "");
    if (theirs.overlaps(HELD)) found.push(`another container runs on ${theirs.toString()}`);
    const state = enforcer.state(create(GetStateRequestSchema));
    const held = CpuSet.parse(state.pool?.held ?? "");
    if (!HELD.isSubsetOf(held)) found.push(`the claim holds ${held.toString()}`);
    if (CpuSet.parse(state.pool?.shared ?? "").overlaps(HELD)) found.push(`the pool is ${state.pool?.shared ?? ""}`);
    return found;
  }

  stop(): void {
    this.agent.enforcer.stop();
  }
}

export function encode<D extends DescMessage>(schema: D, init: MessageInitShape<D>): Uint8Array {
  return toBinary(schema, create(schema, init));
}
