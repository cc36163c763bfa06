import type { ResourceClaim } from "../claims/resourceclaim.ts";

/**
 * One line for each claim that has CPUs of this driver, with who uses it where.
 *
 * @param nodes only claims of these count; a node's pool is named after it.
 */
export function inUse(claims: readonly ResourceClaim[], driver: string, nodes?: ReadonlySet<string>): string[] {
  return claims.flatMap(({ metadata, status }) => {
    const results =
      status?.allocation?.devices?.results?.filter(
        (one) => one.driver === driver && (nodes === undefined || nodes.has(one.pool)),
      ) ?? [];
    if (results.length === 0) return [];
    const pools = [...new Set(results.map((one) => one.pool))].join(", ");
    const users = (status?.reservedFor ?? []).map(
      (one) => `${one.resource === "pods" ? "pod" : one.resource} ${one.name}`,
    );
    return `claim ${metadata.namespace}/${metadata.name} on node ${pools}: ${users.length === 0 ? "allocated, used by nobody now" : `used by ${users.join(", ")}`}`;
  });
}

/**
 * What to do where claims are in use. Helm v4.3.1 (action/uninstall.go, action/upgrade.go) has stored the release as uninstalling by then: it upgrades no such release, and
 * rolls it back (action/rollback.go).
 *
 * @param release of helm, as `namespace/name`; "" where this is no hook of it.
 */
export function waysOn(release: string): string[] {
  const [namespace = "", name = ""] = release.split("/");
  if (name === "")
    return ["Delete the pods that use them first; or force it, and nobody keeps others off their CPUs any more."];
  return [
    "Delete the pods that use them, and uninstall again.",
    `To keep the release, which helm calls uninstalling now and does not upgrade: helm rollback ${name} REVISION -n ${namespace}, REVISION being the last one of: helm history ${name} -n ${namespace}`,
    `To uninstall nevertheless, so that nobody keeps others off their CPUs: roll back as above, then helm upgrade ${name} CHART -n ${namespace} --reuse-values --set uninstall.force=true, and uninstall again.`,
  ];
}
