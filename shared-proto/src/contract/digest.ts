import { createHash } from "node:crypto";
import type { AllocationRecord } from "./records.ts";

/**
 * SHA-256, in hex, over what matters of a set of claims: by ascending uid, whether each drains, its consumers, shares, idle CPUs and isolation.
 * `preparing` and `prepared` are one: the driver's flip between them is none of the agent's business.
 */
export function digestOf(allocations: Iterable<AllocationRecord>): string {
  const lines = [...allocations].map((one) =>
    JSON.stringify([
      one.claim.uid,
      one.state === "draining",
      one.consumers.map((consumer) => [consumer.resource, consumer.uid]).sort(),
      one.shares.map((share) => [share.request, share.cpus.toString()]).sort(),
      one.idle.toString(),
      one.isolated,
    ]),
  );
  return createHash("sha256").update(lines.sort().join("\n")).digest("hex");
}
