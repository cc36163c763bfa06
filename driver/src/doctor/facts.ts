import type { Entry } from "../ledger/ledger.ts";
import type { Picture } from "../picture/picture.ts";

/** Something that was looked at, or why it could not be. */
export type Seen<T> = { readonly value: T } | { readonly why: string };

export function isSeen<T>(one: Seen<T>): one is { readonly value: T } {
  return "value" in one;
}

/** What lies around on the node and in the cluster, as it was found; nothing is concluded here. */
export interface Facts {
  /** Absent before an installation. */
  readonly picture: Picture | undefined;
  readonly settings: {
    readonly reserved: string;
    readonly groupedDevices: boolean;
    readonly stateDir: string;
    readonly cdiDir: string;
    readonly nriSocket: string;
  };
  readonly checkpoint: Seen<
    | { readonly kind: "none" }
    | { readonly kind: "damaged"; readonly why: string }
    | { readonly kind: "memory"; readonly claims: readonly Entry[] }
  >;
  readonly cdi: Seen<{
    /** uids of the claims that have a file. */
    readonly uids: readonly string[];
    readonly unreadable: readonly { readonly file: string; readonly why: string }[];
    readonly isWritable: boolean;
  }>;
  readonly disk: Seen<{ readonly path: string; readonly freeBytes: number; readonly totalBytes: number }>;
  readonly kernel: Seen<{
    /** Such as `6.12.41`. */
    readonly release: string;
    readonly cgroup: 1 | 2;
  }>;
  readonly nriSocket: Seen<boolean>;
  /** `undefined`: no directory of such is seen from here. */
  readonly nriPlugins: Seen<readonly string[] | undefined>;
  readonly kubelet: Seen<KubeletFacts>;
  /** Seen is also a server that does not answer. */
  readonly api: Seen<ApiFacts | { readonly unreachable: string }>;
  readonly processes: Seen<ProcessFacts>;
}

export interface KubeletFacts {
  readonly cpuManagerPolicy: string;
  /** `undefined` where its configuration cannot be seen. */
  readonly reservedSystemCpus: string | undefined;
  /** Where it was read. */
  readonly source: string;
}

export interface ApiFacts {
  /** Such as `v1.36.3`. */
  readonly version: string;
  /** Devices of this node's slices. */
  readonly devices: Seen<number>;
  /** `namespace/name` of claims that are held here and not there. */
  readonly gone: Seen<readonly string[]>;
}

export interface ProcessFacts {
  /** Threads of containers that run on fewer CPUs than their cgroup allows. */
  readonly narrow: readonly { readonly container: string; readonly thread: number; readonly cpus: string }[];
  /** Names of programs outside of Kubernetes that may run on claims' CPUs, with the CPUs. */
  readonly strangers: readonly { readonly name: string; readonly cpus: string }[];
}

/**
 * - `note`: worth knowing, nothing to do
 * - `unknown`: could not be looked at
 */
export type Verdict = "fine" | "note" | "unknown" | "warning" | "wrong";

export interface Check {
  readonly what: string;
  readonly verdict: Verdict;
  /** Of the code list; "" where it is fine. */
  readonly code: string;
  readonly text: string;
  readonly action: string;
}
