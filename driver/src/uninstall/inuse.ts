import type { ResourceClaim } from "../claims/resourceclaim.ts";

/** One line for each claim that has CPUs of this driver, with who uses it where. */
export function inUse(claims: readonly ResourceClaim[], driver: string): string[] {
  return claims.flatMap(({ metadata, status }) => {
    const results = status?.allocation?.devices?.results?.filter((one) => one.driver === driver) ?? [];
    if (results.length === 0) return [];
    const nodes = [...new Set(results.map((one) => one.pool))].join(", ");
    const users = (status?.reservedFor ?? []).map(
      (one) => `${one.resource === "pods" ? "pod" : one.resource} ${one.name}`,
    );
    return `claim ${metadata.namespace}/${metadata.name} on node ${nodes}: ${users.length === 0 ? "allocated, used by nobody now" : `used by ${users.join(", ")}`}`;
  });
}
