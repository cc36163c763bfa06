import { nextPhase, type ContainerRecord } from "../masks/container.ts";
import type { Admission } from "../truth/admit.ts";
import type { NodeKnowledge } from "./node.ts";

/**
 * An isolated claim that several containers of a pod use needs the pod to be one partition, where nobody else can be. Whoever
 * comes last to a pod that cannot have both is refused: what runs isolated already stays so. From memory.
 */
export function isolationClash(
  node: NodeKnowledge,
  record: ContainerRecord,
): Extract<Admission, { kind: "refuse" }> | undefined {
  if (node.levers.force !== "kernel") return undefined;
  const pod = [record];
  for (const other of node.containers.values()) {
    // One that is being stopped, or has ended by itself and is not forgotten yet, shares nothing any more.
    if (other.ref.podUid !== record.ref.podUid || other.ref.id === record.ref.id) continue;
    if (!other.stopping && other.phase !== "stopped") pod.push(other);
  }
  const isolated = pod.filter((one) => node.isIsolated(one));
  const without = pod.find((one) => one.role !== "claim" || !isolated.includes(one));
  if (without === undefined) return undefined;
  for (const one of isolated) {
    const mate = isolated.find((other) => other !== one && overlap(node, one, other));
    if (mate === undefined || (record !== one && record !== mate && record !== without)) continue;
    const { podNamespace, podName, name } = record.ref;
    return {
      kind: "refuse",
      reason: "ISOLATION_CLASH",
      message: `dra.cpu: cannot create container ${name} of pod ${podNamespace}/${podName}: its containers ${one.ref.name} and ${mate.ref.name} use the same isolated CPUs, which makes the whole pod one cpuset partition, and ${without.ref.name} has none. Give each container a claim or a request of its own, or do not ask for isolated CPUs`,
      uses: record.uses,
    };
  }
  return undefined;
}

function overlap(node: NodeKnowledge, a: ContainerRecord, b: ContainerRecord): boolean {
  const cpus = node.claimMask(a);
  return cpus !== undefined && node.claimMask(b)?.overlaps(cpus) === true;
}

/**
 * The kubelet creates a container anew when the one before it has ended: where that was never started, nobody has told.
 * @returns whether there was one.
 */
export function endOlder(node: NodeKnowledge, { ref }: ContainerRecord): boolean {
  let found = false;
  for (const other of node.containers.values()) {
    if (other.phase !== "created" || other.ref.id === ref.id) continue;
    if (other.ref.podUid !== ref.podUid || other.ref.name !== ref.name) continue;
    other.phase = nextPhase(other.phase, "remove");
    found = true;
  }
  return found;
}
