import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Offer, OwnResult } from "./decide.ts";

/** "" or every reason why the node can never give exactly these CPUs to this request; who holds them now is another question. */
export function exactFault(
  cpuset: CpuSet,
  results: readonly OwnResult[],
  offer: Pick<Offer, "machine" | "candidates" | "reserved" | "keepShared">,
  takenByClaim: CpuSet,
): string {
  const { machine, candidates, reserved, keepShared } = offer;
  const problems: string[] = [];
  const named = `its cpuset ${cpuset.toString()}`;
  const count = results.reduce((sum, result) => sum + result.count, 0);
  if (cpuset.size !== count) {
    problems.push(`${named} has ${cpuset.size} CPUs, and its capacity is ${count}; make both the same`);
  }
  const offered = CpuSet.union(results.map((result) => candidates.get(result.device) ?? CpuSet.empty));
  let rest = cpuset.minus(offered);
  const blocked = (cpus: CpuSet, why: string): void => {
    const some = rest.intersect(cpus);
    if (!some.isEmpty) problems.push(`CPUs ${some.toString()} of ${named} ${why}`);
    rest = rest.minus(some);
  };
  blocked(rest.minus(machine.present.union(machine.online)), "do not exist on this machine");
  blocked(rest.minus(machine.online), "are offline");
  blocked(reserved, "are reserved by the node's configuration");
  blocked(keepShared, "are kept for the shared pool");
  const devices = results
    .map(({ device }) => `${device} (CPUs ${candidates.get(device)?.toString() ?? ""})`)
    .join(", ");
  blocked(rest, `are not of the allocated device ${devices}`);
  const twice = cpuset.intersect(takenByClaim);
  if (!twice.isEmpty)
    problems.push(
      `CPUs ${twice.toString()} of ${named} belong to another request of this claim; give each request its own by \`requests\``,
    );
  if (problems.length === 0) problems.push(...uneven(cpuset, results, candidates));
  return problems.join("; ");
}

/** Several devices of one request: each has been charged for its own number of CPUs. */
function uneven(cpuset: CpuSet, results: readonly OwnResult[], candidates: Offer["candidates"]): string[] {
  return [...new Set(results.map(({ device }) => device))].flatMap((device) => {
    const here = cpuset.intersect(candidates.get(device) ?? CpuSet.empty);
    const charged = results.filter((one) => one.device === device).reduce((sum, one) => sum + one.count, 0);
    return here.size === charged
      ? []
      : [`device ${device} is charged for ${charged} CPUs, and its cpuset has ${here.size} there (${here.toString()})`];
  });
}
