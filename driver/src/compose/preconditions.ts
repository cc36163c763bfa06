import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { codeOf } from "@dracpu/shared-proto/codes/codes.ts";
import { SessionState } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { ApiServer } from "../apiserver/apiserver.ts";
import type { DriverSettings } from "../config/settings.ts";
import type { AgentInspect } from "../inspect/agentinspect.ts";
import { allocatableCpus } from "../kubelet/podresources.ts";
import { Preconditions, type PreconditionsOptions } from "../preconditions/preconditions.ts";

/** Who is asked whether this node can do the work. */
export function preconditionsOf(
  settings: DriverSettings,
  from: { readonly api: ApiServer; readonly agent: AgentInspect },
  rest: Pick<PreconditionsOptions, "online" | "log" | "onChange">,
): Preconditions {
  return new Preconditions({
    ...rest,
    leastMs: 1000,
    reserved: settings.reservedCPUs,
    allocatable: (signal) => allocatableCpus(settings.kubeletRootDir, signal),
    keptMilli: (signal) => from.api.nodeKeepsMilli(settings.nodeName, signal),
    agent: async (signal) => {
      const { state, why } = await from.agent.summary(signal);
      if (state === undefined) throw new Error(why);
      const findings = state.problems.flatMap((text, n): Finding[] => {
        const code = codeOf(state.problemCodes[n] ?? "");
        return code === undefined ? [] : [{ code, text }];
      });
      return { findings, isAtWork: state.nri?.state === SessionState.SYNCHRONIZED };
    },
  });
}
