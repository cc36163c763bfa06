import { DEFAULT_POLICY, type Policy } from "../../driver/src/allocator/allocate.ts";
import { churn } from "./churn.ts";
import { FIVE } from "./fixtures.ts";

const EVENTS = 100_000;
const POLICIES: Readonly<Record<string, Policy>> = {
  packed: DEFAULT_POLICY,
  "packed, whole cores": { ...DEFAULT_POLICY, cores: "whole" },
};
for (const [name, machine] of Object.entries(FIVE)) {
  for (const [policy, value] of Object.entries(POLICIES)) {
    const start = performance.now();
    const end = churn(machine, EVENTS, value);
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(
      `${name}, ${policy}: ${EVENTS} events in ${seconds} s, ${end.claims} claims, ${end.refused} refused; ` +
        `needlessly crossed: NUMA node ${end.crossedNuma}, socket ${end.crossedSocket}, L3 ${end.crossedL3}; ` +
        `at the end ${end.held} held, ${end.free} of ${machine.online.size} CPUs free (${end.freeOnWholeCores} on whole cores), ` +
        `${end.partL3s} of ${machine.l3s.length} L3 domains partly used, largest free in an L3 ${end.largestInL3}, in a NUMA node ${end.largestInNuma}`,
    );
  }
}
