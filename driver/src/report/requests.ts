import type { ResourceClaim } from "../claims/resourceclaim.ts";
import type { EventApi } from "./ports.ts";
import { podNamed, type Reporter } from "./reporter.ts";

interface ContainerSpec {
  readonly name?: string;
  readonly resources?: { readonly claims?: readonly { readonly name?: string; readonly request?: string }[] };
}

/** The part of a core/v1 Pod that is looked at, as raw JSON (k8s.io/api v0.36.3, core/v1/types.go). */
export interface PodClaims {
  readonly metadata?: { readonly uid?: string };
  readonly spec?: {
    readonly resourceClaims?: readonly { readonly name?: string; readonly resourceClaimName?: string }[];
    readonly containers?: readonly ContainerSpec[];
    readonly initContainers?: readonly ContainerSpec[];
  };
  readonly status?: {
    readonly resourceClaimStatuses?: readonly { readonly name?: string; readonly resourceClaimName?: string }[];
  };
}

/** A sentence for each container that names a request which the claim does not have: Kubernetes gives it nothing, and no error. */
export function unknownRequests(pod: PodClaims, claim: ResourceClaim): string[] {
  const called = claim.metadata.name;
  const names = [...(pod.spec?.resourceClaims ?? []), ...(pod.status?.resourceClaimStatuses ?? [])]
    .filter((one) => one.resourceClaimName === called)
    .map((one) => one.name);
  const results = claim.status?.allocation?.devices?.results ?? [];
  const known = [...new Set(results.map(({ request }) => request.split("/")[0]))];
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  return containers.flatMap((container) =>
    (container.resources?.claims ?? [])
      .filter(({ name, request }) => names.includes(name) && request !== undefined && !known.includes(request))
      .map(
        ({ request }) =>
          `Container ${container.name ?? ""} names request ${request ?? ""} of claim ${called}, which has ${known.join(", ")}: it runs on the shared CPUs. Correct the request's name`,
      ),
  );
}

/** Looks at the pods of a prepared claim, in the background; without the right to read pods nothing is said. */
export async function tellUnknownRequests(
  claim: ResourceClaim,
  api: EventApi,
  reporter: Reporter,
  signal: AbortSignal,
): Promise<void> {
  const { namespace } = claim.metadata;
  for (const { resource, name, uid } of claim.status?.reservedFor ?? []) {
    if (resource !== "pods") continue;
    const pod = await api.pod(namespace, name, signal);
    if (pod?.metadata?.uid !== uid) continue;
    for (const sentence of unknownRequests(pod, claim))
      reporter.tell(podNamed(namespace, name, uid), "RequestUnknown", sentence, signal);
  }
}
