import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { codeOf, CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { State } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";
import type { Machine } from "../topology/machine.ts";
import { heldCpus, type Known } from "./claims.ts";
import type { ContainerView } from "./picture.ts";

/** What claims are not as they should be. */
export function claimFindings(known: readonly Known[], machine: Machine, agent: State | undefined): Finding[] {
  const found: Finding[] = [];
  let taken = CpuSet.empty;
  for (const one of known) {
    const { entry, held, cpus } = one;
    const name = `claim ${nameOf(one)}`;
    const twice = cpus.intersect(taken);
    taken = taken.union(cpus);
    if (!twice.isEmpty) {
      const others = known.filter((other) => other !== one && other.cpus.overlaps(twice)).map(nameOf);
      found.push({
        code: CODES.claimsOverlap,
        text: `CPUs ${twice.toString()} are held by ${name} and by ${others.join(", ")}`,
      });
    }
    found.push(...offlineFindings(nameOf(one), cpus, machine.online));
    // Claims that nobody has prepared since the boot are the driver's alone; those being released leave one before the other.
    if (agent === undefined || entry?.phase === "allocated" || entry?.phase === "draining") continue;
    if (held === undefined)
      found.push({ code: CODES.claimsDisagree, text: `The agent does not know ${name} on CPUs ${cpus.toString()}` });
    else if (!heldCpus(held).equals(cpus))
      found.push({
        code: CODES.claimsDisagree,
        text: `The driver gives CPUs ${cpus.toString()} to ${name}, the agent CPUs ${heldCpus(held).toString()}`,
      });
  }
  return found;
}

/** @param name of the claim. */
export function offlineFindings(name: string, cpus: CpuSet, online: CpuSet): Finding[] {
  const gone = cpus.minus(online);
  const text = `CPUs ${gone.toString()} of claim ${name} are not online`;
  return gone.isEmpty ? [] : [{ code: CODES.claimCpusOffline, text }];
}

/** What containers are not as they should be. */
export function containerFindings(containers: readonly ContainerView[]): Finding[] {
  return containers.flatMap((one) => {
    const name = `container ${one.name} of pod ${one.namespace}/${one.pod}`;
    const found: Finding[] = [];
    if (one.outside !== "")
      found.push({
        code: CODES.outside,
        text: `${upper(name)} may run on CPUs ${one.outside}, which it should not have: wanted ${one.wanted}, effective ${one.effective}`,
      });
    if (one.problem !== "")
      found.push({
        code: one.role === "claim" || one.outside !== "" ? CODES.maskFailed : CODES.confined,
        text: `${upper(name)}: ${one.problem}`,
      });
    return found;
  });
}

export function agentFindings(agent: State | undefined, why: string, driverVersion: string): Finding[] {
  if (agent === undefined) return [{ code: CODES.inspectAway, text: `The agent cannot be asked: ${why}` }];
  const found = agent.problems.map((text, n) => ({
    code: codeOf(agent.problemCodes[n] ?? "") ?? CODES.sessionAway,
    text,
  }));
  if (driverVersion !== "" && agent.agentVersion !== driverVersion)
    found.push({
      code: CODES.versionSkew,
      text: `The driver is ${driverVersion}, the agent ${agent.agentVersion}`,
    });
  return found;
}

function nameOf({ entry, held, uid }: Known): string {
  const name = entry?.claim ?? held?.claim;
  return name === undefined || name.name === "" ? uid : `${name.namespace}/${name.name}`;
}

function upper(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
