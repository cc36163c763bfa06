/** Protocol numbers this release speaks, lowest and highest. A driver and an agent meet at the highest both have. */
export const PROTOCOL_MIN = 1;
export const PROTOCOL_MAX = 1;
/** ReplaceRequest.let_go. */
export const LET_GO = "let-go";
/** What an agent of this release takes besides. */
export const FEATURES: readonly string[] = [LET_GO];

export const DRIVER_NAME = "dra.cpu";
/** Metadata of the contract's errors: a closed word, and the uids of the claims that are meant, separated by commas. */
export const ERROR_CODE = "dracpu-code";
export const ERROR_CLAIMS = "dracpu-claims";
/** Vendor and class of our CDI devices; the reference driver's, so that readers of its contract keep working. */
export const CDI_KIND = "dra.k8s.io/cpu";
/** `DRA_CPUSET_<claim uid>=<whole claim>`, set by CDI. */
export const CPUSET_ENV_PREFIX = "DRA_CPUSET_";
/** `DRA_CPUSHARE_<claim uid>_<request>=<share>`, set by CDI, one per device. */
export const CPUSHARE_ENV_PREFIX = "DRA_CPUSHARE_";
/** The container's own CPUs under a name that a shell can read; set by the agent from the real mask. */
export const CPUS_ENV = "DRA_CPUS";
/** Annotation that the agent's CreateContainer reply sets: claim uids, comma separated. */
export const MARK_ANNOTATION = "dra.cpu/claims";

/**
 * The gate: a bind mount in the claim's CDI edits whose source never exists, so that no runtime can start the container unless the
 * agent has taken the mount out. The source is the sentence that the pod's Event shows. Paths belong to the protocol
 * version; an agent also takes out those of the version before.
 */
export const GATE_HOST_PATH = "/run/dra-driver-cpu/container-not-pinned-because-the-nri-agent-was-away";
export const GATE_PATH = "/run/dra-driver-cpu/gate-v1";
export const GATE_PATHS: readonly string[] = [GATE_PATH];

/** CDI device name of one request's share. */
export function cdiDeviceName(claimUid: string, request: string): string {
  return `claim-${claimUid}-${request}`;
}
