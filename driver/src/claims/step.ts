import type { Policy } from "../allocator/allocate.ts";
import type { Machine } from "../topology/machine.ts";

/**
 * What the scheduler has to count in, so that it never hands out what the node's default policy would refuse: the threads of a core where
 * whole cores are the default, idle siblings included; 1 where they are not, or where cores differ and no number fits all.
 */
export function stepOf(machine: Machine, defaults: Pick<Policy, "cores">): number {
  if (defaults.cores === "any") return 1;
  return machine.cores.map((core) => core.cpus.size).reduce(gcd, 0) || 1;
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}
