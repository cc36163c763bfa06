import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { cpuOf, type CoreType, type Machine } from "../topology/machine.ts";
import type { Wish } from "./precedence.ts";

const FITTING: Readonly<Record<Exclude<Wish["policy"]["coreType"], "any">, readonly CoreType[]>> = {
  // On a machine without core classes every core is as fast as they come.
  performance: ["performance", "standard"],
  efficiency: ["efficiency", "low-power"],
};

/**
 * "" or every wish that the scheduler's choice does not meet. `strategy` and `l3: prefer` are no conditions, so they are met by any choice.
 * A claim says the same to the scheduler by selectors and `matchAttribute`; the sentences name them.
 */
export function chosenFault(machine: Machine, wish: Wish, cpus: CpuSet): string {
  const chosen = `the scheduler has chosen CPUs ${cpus.toString()}`;
  if (wish.cpuset !== undefined) {
    return wish.cpuset.equals(cpus)
      ? ""
      : `${chosen}, and its cpuset is ${wish.cpuset.toString()}; in individual mode select these CPUs by \`dra.cpu/cpuID\``;
  }
  const problems: string[] = [];
  const { cores, l3, coreType } = wish.policy;
  if (cores !== "any") {
    const touched = machine.cores.filter((core) => core.cpus.overlaps(cpus));
    const missing = CpuSet.union(touched.map((core) => core.cpus)).minus(cpus);
    if (!missing.isEmpty) {
      problems.push(
        `with \`cores: ${cores}\` it also needs the siblings ${missing.toString()}; ask for a multiple of the threads of a core, and delete the pod, so that the scheduler chooses anew`,
      );
    }
  }
  if (l3 === "require") {
    const parts = new Set(cpus.toArray().map((id) => cpuOf(machine, id)?.l3 ?? -1));
    if (parts.size > 1)
      problems.push(
        `with \`l3: require\` they have to share one L3, and lie in ${parts.size}; tie them by \`matchAttribute: dra.cpu/cacheL3ID\``,
      );
  }
  if (coreType !== "any") {
    const fit = FITTING[coreType];
    const odd = CpuSet.from(cpus.toArray().filter((id) => !fit.includes(cpuOf(machine, id)?.coreType ?? "standard")));
    if (!odd.isEmpty)
      problems.push(`with \`coreType: ${coreType}\` CPUs ${odd.toString()} do not fit; select by \`dra.cpu/coreType\``);
  }
  return problems.length === 0 ? "" : `${chosen}, and ${problems.join("; ")}`;
}
