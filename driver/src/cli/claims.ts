import type { Picture } from "../picture/picture.ts";
import { columns } from "./table.ts";

/** Changes when a field changes its meaning or goes; new fields do not change it. */
export const CLAIMS_LAYOUT = "claims.dra.cpu/v1";

export function printClaims(picture: Picture): string {
  if (picture.claims.length === 0) return "no claim holds CPUs";
  const containersOf = (uid: string): string =>
    picture.containers
      .filter((one) => one.claims.includes(uid) && one.phase !== "stopped")
      .map((one) => `${one.pod}/${one.name}`)
      .join(", ");
  return columns([
    ["CLAIM", "STATE", "CPUS", "LIST", "IDLE", "NUMA", "L3", "PODS", "CONTAINERS"],
    ...picture.claims.map((claim) => [
      `${claim.namespace}/${claim.name}`,
      claim.isolated ? `${claim.phase}, isolated` : claim.phase,
      String(claim.count),
      claim.cpus,
      claim.idle,
      claim.numaNodes.join(","),
      claim.l3s.join(","),
      claim.pods.join(", "),
      containersOf(claim.uid),
    ]),
  ]).join("\n");
}
