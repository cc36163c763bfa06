import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";

/** What a container shows of a claim, taken from the runtime's words about it. All of it is untrusted. */
export interface ContainerMarks {
  /** `KEY=value` lines. */
  readonly env: readonly string[];
  /** Qualified CDI device names; only the kubelet's own ids appear there (NRI >= 0.10, else always empty). */
  readonly cdiDevices: readonly string[];
  /** Destinations of the container's mounts. */
  readonly mountDestinations: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** Names both sides agree on; see `@dracpu/shared-proto/contract`. */
export interface MarkNames {
  /** `dra.k8s.io/cpu` */
  readonly cdiKind: string;
  /** `DRA_CPUSET_` */
  readonly envPrefix: string;
  /** `DRA_CPUSHARE_`: `<prefix><uid>_<request>`, one per CDI device, for runtimes that show no CDI ids. */
  readonly shareEnvPrefix: string;
  /** Container paths of the gate mount, this protocol version's and the one's before. */
  readonly gatePaths: readonly string[];
  /** Variable with a fixed name that a shell can read: the container's own mask. */
  readonly cpusVariable: string;
  /** Annotation our CreateContainer reply sets: claim uids, comma separated. */
  readonly annotation: string;
}

/** One claim, or one request of it, that a container was given by the kubelet. */
export interface ClaimUse {
  readonly claimUid: string;
  /** `undefined`: the claim as a whole. */
  readonly request: string | undefined;
}

export type MarksReading =
  | { readonly kind: "none" }
  | {
      readonly kind: "claims";
      readonly uses: readonly ClaimUse[];
      readonly gates: readonly string[];
      /** The kubelet named its CDI device, and nothing of what the device gives is there. */
      readonly isBare: boolean;
    }
  /** A variable that only this driver may set, without the kubelet's word for it. */
  | { readonly kind: "forged"; readonly variable: string; readonly because: string }
  | { readonly kind: "malformed"; readonly variable: string; readonly because: string };

const CLAIM_DEVICE =
  /^claim-([0-9a-zA-Z]{8}-[0-9a-zA-Z]{4}-[0-9a-zA-Z]{4}-[0-9a-zA-Z]{4}-[0-9a-zA-Z]{12})(?:-([a-z0-9.-]{1,126}))?$/;
/** What the values of a container's `DRA_CPUSET_` variables may be long in all. A pod can set any number of them, and a hook has no time for that. */
const MAX_VALUE = 64 * 1024;
/** Longest value of which it is said how it is malformed, where it would be a forgery in any case. */
const MAX_FORGED = 1024;

/**
 * Reads which claims a container was given.
 *
 * The anchor is the CDI device id, which only the kubelet can set. A runtime whose NRI does not show these ids
 * (`cdiVisible` false, NRI < 0.10) is believed by variable *and* gate mount at creation; a container found running
 * there has lost its gate, and is believed by variable and annotation.
 */
export function readMarks(marks: ContainerMarks, names: MarkNames, cdiVisible: boolean): MarksReading {
  const uses: ClaimUse[] = [];
  for (const id of marks.cdiDevices) {
    if (!id.startsWith(`${names.cdiKind}=`)) continue;
    const m = CLAIM_DEVICE.exec(id.slice(names.cdiKind.length + 1));
    if (m === null)
      return { kind: "malformed", variable: show(id), because: "it is not a CDI device name of this driver" };
    uses.push({ claimUid: m[1] ?? "", request: m[2] });
  }
  const anchored = new Set(uses.map((use) => use.claimUid));
  const gates = names.gatePaths.filter((path) => marks.mountDestinations.includes(path));
  const marked = new Set((marks.annotations[names.annotation] ?? "").split(","));
  const variables = new Set<string>();
  let length = 0;
  for (const line of marks.env) {
    if (!line.startsWith(names.envPrefix)) continue;
    const eq = line.indexOf("=");
    const uid = line.slice(names.envPrefix.length, eq < 0 ? undefined : eq);
    const variable = show(names.envPrefix + uid);
    if (eq < 0) return { kind: "malformed", variable, because: "it has no value" };
    const value = line.slice(eq + 1);
    length += value.length;
    if (length > MAX_VALUE) return { kind: "malformed", variable, because: "it is too long" };
    const isForged = !anchored.has(uid) && (cdiVisible || (gates.length === 0 && !marked.has(uid)));
    if (!isForged || value.length <= MAX_FORGED) {
      try {
        CpuSet.parse(value);
      } catch (cause) {
        return { kind: "malformed", variable, because: (cause as Error).message };
      }
    }
    if (isForged) {
      const what = cdiVisible ? "CDI device of that claim" : "gate mount";
      return { kind: "forged", variable, because: `the container has no ${what}` };
    }
    variables.add(uid);
  }
  for (const uid of variables) {
    if (anchored.has(uid)) continue;
    const requests = requestsOf(marks.env, `${names.shareEnvPrefix}${uid}_`);
    for (const request of requests.length === 0 ? [undefined] : requests) uses.push({ claimUid: uid, request });
  }
  const isBare = [...anchored].some((uid) => !variables.has(uid));
  return uses.length === 0 ? { kind: "none" } : { kind: "claims", uses, gates, isBare };
}

function requestsOf(env: readonly string[], prefix: string): string[] {
  const found: string[] = [];
  for (const line of env) {
    if (line.startsWith(prefix)) found.push(line.slice(prefix.length).split("=", 1)[0] ?? "");
  }
  return found;
}

function show(name: string): string {
  const clean = name.replace(/[^\x20-\x7e]/g, "?");
  return clean.length > 80 ? `${clean.slice(0, 80)}…` : clean;
}
