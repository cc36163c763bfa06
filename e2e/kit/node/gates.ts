/** Kubernetes before 1.36 has off what grouped devices need; operators turn it on (docs/install.md), and so does this cluster. */
const BEFORE_1_36 = ["1.34", "1.35"];

/** Feature gates of every component, on the Kubernetes that `$DRACPU_KUBE` names. */
export function featureGates(): Readonly<Record<string, boolean>> {
  return BEFORE_1_36.includes(process.env["DRACPU_KUBE"] ?? "") ? { DRAConsumableCapacity: true } : {};
}

/** The same as flags. */
export function gateFlags(): readonly string[] {
  const gates = Object.entries(featureGates()).map(([name, isOn]) => `${name}=${isOn}`);
  return gates.length === 0 ? [] : [`--feature-gates=${gates.join()}`];
}
