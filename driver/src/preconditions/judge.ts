import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

/** What the others say who have to do with this node's CPUs. */
export interface NodeFacts {
  readonly online: CpuSet;
  /** `--reserved-cpus` */
  readonly reserved: CpuSet;
  /** What the kubelet's CPU manager may give out, none under policy none; `undefined` where the kubelet cannot be asked. */
  readonly allocatable: CpuSet | undefined;
  /** The Node's capacity less what is allocatable, in thousandths of a CPU; `undefined` where it is not known. */
  readonly keptMilli: number | undefined;
  /** The agent's own findings. */
  readonly agent: readonly Finding[];
}

/** What makes the node unsuitable, or will show as a riddle later. */
export function judge(facts: NodeFacts): Finding[] {
  const found = facts.agent.filter(({ code }) => code === CODES.nriOff);
  const { allocatable, online, reserved, keptMilli } = facts;
  if (allocatable !== undefined && !allocatable.isEmpty) {
    found.push({
      code: CODES.cpuManagerStatic,
      text: `The kubelet's CPU manager has policy static and gives out CPUs ${allocatable.toString()} itself: this node offers none. ${CODES.cpuManagerStatic.action}`,
    });
    const kept = online.minus(allocatable);
    if (!kept.equals(reserved.intersect(online)))
      found.push({
        code: CODES.reservedDiffer,
        text: `The kubelet reserves ${named(kept)}, this driver ${named(reserved)}`,
      });
    return found;
  }
  if (keptMilli === undefined) return found;
  // Less than a CPU is what the kubelet keeps for itself where nobody has told it anything.
  const isLess = reserved.size < Math.floor(keptMilli / 1000);
  const isMore = reserved.size > Math.ceil(keptMilli / 1000);
  if (isLess || isMore)
    found.push({
      code: CODES.reservedDiffer,
      text: `The kubelet keeps ${keptMilli / 1000} CPUs from pods (the Node's capacity less allocatable), this driver ${named(reserved)}: ${
        isLess ? "claims may take CPUs that are meant for the system" : "more pods are admitted than CPUs are left for"
      }`,
    });
  return found;
}

function named(cpus: CpuSet): string {
  return cpus.isEmpty ? "none" : `${cpus.size} (${cpus.toString()})`;
}
