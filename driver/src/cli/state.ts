import { create, toJson } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { unixTransport } from "@dracpu/shared-proto/client/call.ts";
import { GetStateRequestSchema, Inspect } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import {
  ContainerRole,
  Lever,
  SessionState,
  StateSchema,
  Truth,
  type Allocation,
  type State,
} from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import { columns } from "./table.ts";

/** Asks the agent and prints its state: a table for people, JSON for machines. */
export async function printState(inspectSocket: string, output: "table" | "json"): Promise<string> {
  const client = createClient(Inspect, unixTransport(inspectSocket));
  const { state } = await client.getState(create(GetStateRequestSchema));
  if (state === undefined) throw new Error("the agent gave no state");
  return output === "json" ? JSON.stringify(toJson(StateSchema, state), undefined, 2) : tables(state);
}

function tables(state: State): string {
  const word = (names: Readonly<Record<string, string | number>>, value: number): string =>
    (Object.entries(names).find(([, one]) => one === value)?.[0] ?? "unknown").toLowerCase().replaceAll("_", " ");
  const claims = state.allocations.map((one) => [
    `${one.claim?.namespace ?? ""}/${one.claim?.name ?? ""}`,
    cpusText(one),
    one.consumers.map((consumer) => consumer.name).join(", "),
  ]);
  const named = state.containers.map((one) => ({
    one,
    name: `${one.ref?.podNamespace ?? ""}/${one.ref?.podName ?? ""}/${one.ref?.name ?? ""}`,
  }));
  // The agent's order is that in which the runtime told of them, which after a restart is any.
  named.sort((a, b) => (a.name < b.name ? -1 : 1));
  const containers = named.map(({ one, name }) => [
    name,
    word(ContainerRole, one.role),
    one.mask?.wanted ?? "",
    one.mask?.effective ?? "",
    one.partition,
    one.problem,
  ]);
  return [
    `agent      ${state.agentVersion}, claims ${word(Truth, state.truth)}, epoch ${state.held?.epoch ?? 0n}, revision ${state.held?.revision ?? 0n}`,
    `runtime    ${state.runtime?.name ?? ""} ${state.runtime?.version ?? ""}, NRI ${state.nri?.nriVersion ?? ""}: ${word(SessionState, state.nri?.state ?? 0)}${state.nri?.why === "" ? "" : ` (${state.nri?.why ?? ""})`}`,
    `lever      ${word(Lever, state.lever)}${state.leverWhy === "" ? "" : ` (${state.leverWhy})`}`,
    `pool       shared ${state.pool?.shared ?? ""}, held ${dash(state.pool?.held)}, draining ${dash(state.pool?.draining)}, reserved ${dash(state.machine?.reserved)}`,
    `restart    ${state.safeToRestart ? "no container is known to be in its termination grace" : `wait: ${state.safeToRestartWhy}`}`,
    ...state.problems.map((problem) => `problem    ${problem}`),
    "",
    ...columns([["CLAIM", "CPUS", "PODS"], ...claims]),
    "",
    ...columns([["CONTAINER", "ROLE", "WANTED", "EFFECTIVE", "PARTITION", "PROBLEM"], ...containers]),
  ].join("\n");
}

/** `main: 2-3; side: 4, idle 10-12, isolated`; one part a request, however many devices it has. */
function cpusText(claim: Allocation): string {
  const requests = Map.groupBy(claim.shares, (share) => share.request);
  const parts = [...requests].map(
    ([request, shares]) => `${request}: ${CpuSet.union(shares.map((share) => CpuSet.parse(share.cpus))).toString()}`,
  );
  return [parts.join("; "), claim.idle === "" ? "" : `idle ${claim.idle}`, claim.isolated ? "isolated" : ""]
    .filter((text) => text !== "")
    .join(", ");
}

function dash(text: string | undefined): string {
  return text === undefined || text === "" ? "-" : text;
}
