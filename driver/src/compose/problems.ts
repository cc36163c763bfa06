import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { LinkState } from "../prepare/ports.ts";
import type { PublishState } from "../publish/publisher.ts";
import { tellNodeProblems } from "../report/nodeproblems.ts";
import { nodeNamed, type Reporter } from "../report/reporter.ts";
import type { Sight } from "./sight.ts";
import type { DevicePlan } from "../slices/plan.ts";

/** What keeps this driver from its work, for `/readyz` and everybody else who asks. */
export function problemsOf(now: {
  readonly kubelet: string;
  readonly publisher: PublishState;
  readonly rebuilding: string;
  readonly agent: LinkState;
  readonly offers: DevicePlan;
  readonly others: readonly Finding[];
}): Finding[] {
  const found: Finding[] = [
    ...now.others,
    { code: CODES.notRegistered, text: now.kubelet },
    { code: CODES.notPublished, text: now.publisher.why },
    ...now.publisher.dropped.map((text) => ({ code: CODES.fieldDropped, text })),
    { code: CODES.driverNotReady, text: now.rebuilding },
  ];
  if (now.offers.devices.length === 0)
    found.push({ code: CODES.nothingOffered, text: now.offers.problems.at(-1) ?? "" });
  if (!now.agent.connected) found.push({ code: CODES.agentAway, text: now.agent.why });
  return found.filter((one) => one.text !== "");
}

/** Events of the node, and a line in what happened lately, for each problem that lasts; the agent has no other way to say its own. */
export function tellProblems(
  from: {
    readonly problems: () => readonly Finding[];
    readonly sight: Sight;
    readonly reporter: Reporter;
    readonly node: string;
  },
  signal: AbortSignal,
): Promise<void> {
  return tellNodeProblems(
    from.problems,
    ({ code, text }) => {
      from.sight.happened("problem", text);
      from.reporter.tell(nodeNamed(from.node), "NodeProblem", text, signal, code);
    },
    signal,
  );
}
