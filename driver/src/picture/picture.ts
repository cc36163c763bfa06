/**
 * One node at one moment: what the driver knows of claims, what the agent reads from the kernel, and where the two differ. Plain data, for the page, the command
 * line and files; CPU sets are kernel lists. Everything that shows a node to people draws this and nothing else, so that no two of them disagree.
 */
export interface Picture {
  readonly layout: typeof PICTURE_LAYOUT;
  readonly node: string;
  /** Milliseconds since 1970, by the clock of who drew it. */
  readonly asOfMs: number;
  readonly driver: DriverView;
  readonly agent: AgentView;
  readonly machine: MachineView;
  /** One for each present CPU, by id. */
  readonly threads: readonly ThreadView[];
  /** By lowest CPU. */
  readonly claims: readonly ClaimView[];
  /** By namespace, pod and name. */
  readonly containers: readonly ContainerView[];
  /** What is wrong now; empty where all is well. */
  readonly findings: readonly FindingView[];
}

/** Changes when a field changes its meaning or goes; new fields do not change it. */
export const PICTURE_LAYOUT = "picture.dra.cpu/v1";

export interface DriverView {
  /** The running driver has drawn this; else it is drawn from what it left on disk. */
  readonly isRunning: boolean;
  readonly version: string;
  readonly why: string;
}

export interface AgentView {
  readonly isRunning: boolean;
  /** Where it did not answer. */
  readonly why: string;
  readonly version: string;
  /** Milliseconds since 1970, by its own clock; 0 where it did not answer. */
  readonly asOfMs: number;
  /** `none`, `restored`, `confirmed`. */
  readonly truth: string;
  readonly runtime: string;
  readonly nriVersion: string;
  /** `away`, `connecting`, `waiting for synchronize`, `synchronized`. */
  readonly session: string;
  readonly sessionWhy: string;
  readonly sessionSinceMs: number;
  /** `kernel`, `file`, `runtime`. */
  readonly lever: string;
  readonly leverWhy: string;
  readonly safeToRestart: boolean;
  readonly safeToRestartWhy: string;
  readonly counters: Readonly<Record<"escapes" | "repairs" | "refusals" | "reconnects" | "lostUpdates", number>>;
  /** Containers were left out. */
  readonly truncated: boolean;
}

export interface MachineView {
  /** `64 CPUs, 32 cores, SMT 2`. */
  readonly about: string;
  readonly online: string;
  readonly present: string;
  /** `isolcpus=`. */
  readonly isolated: string;
  readonly reserved: string;
  /** No claim's, ever; part of the shared pool. */
  readonly keepShared: string;
  /** What ordinary containers may use, as the agent says; as computed where it does not. */
  readonly shared: string;
  readonly held: string;
  readonly draining: string;
  readonly boxes: readonly BoxView[];
}

/** A socket, NUMA node, cache or core, with what is inside it. */
export interface BoxView {
  /** `Socket 0`, `NUMA node 1`, `L3 2 (32 MiB)`, `Core 5`; several where the same CPUs are all of them. */
  readonly names: readonly string[];
  readonly kind: string;
  readonly cpus: string;
  readonly boxes: readonly BoxView[];
}

/**
 * - `shared`: ordinary containers run there, and a claim may take it
 * - `kept`: the same, but never a claim's
 * - `claim`: a claim's own
 * - `idle`: a claim's, kept without work beside a sibling that works
 * - `draining`: of a released claim whose containers still live
 * - `reserved`: neither for claims nor for ordinary containers
 * - `offline`
 */
export type Use = "shared" | "kept" | "claim" | "idle" | "draining" | "reserved" | "offline";

export interface ThreadView {
  readonly cpu: number;
  readonly use: Use;
  /** uid of the claim. */
  readonly claim?: string;
  /** The kernel balances no load there (`isolcpus=`). */
  readonly isolated?: true;
  /** Sentences about what should not be so. */
  readonly wrong?: readonly string[];
}

export interface ShareView {
  readonly request: string;
  readonly device: string;
  readonly cpus: string;
}

export interface ClaimView {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** One letter or digit that stands for it in drawings; `*` where all are taken. */
  readonly mark: string;
  /** Colour, from 0. */
  readonly hue: number;
  /** `allocated`, `preparing`, `prepared`, `draining`. */
  readonly phase: string;
  readonly cpus: string;
  readonly count: number;
  readonly idle: string;
  readonly isolated: boolean;
  readonly shares: readonly ShareView[];
  readonly pods: readonly string[];
  readonly numaNodes: readonly number[];
  readonly l3s: readonly number[];
  readonly operation: string;
  /** Why these CPUs; `undefined` where it is not known any more. */
  readonly chosen?: { readonly atMs: number; readonly free: string; readonly wishes: readonly string[] };
}

export interface ContainerView {
  readonly id: string;
  readonly namespace: string;
  readonly pod: string;
  readonly podUid: string;
  readonly name: string;
  /** `created`, `starting`, `running`, `stopped`. */
  readonly phase: string;
  /** `shared`, `claim`, `unknown claim`, `own`. */
  readonly role: string;
  /** uids. */
  readonly claims: readonly string[];
  readonly wanted: string;
  readonly sent: string;
  readonly effective: string;
  readonly readMs: number;
  /** CPUs that it may run on and should not. */
  readonly outside: string;
  readonly partition: string;
  readonly cgroup: string;
  readonly problem: string;
}

export interface FindingView {
  readonly code: string;
  readonly title: string;
  readonly severity: "wrong" | "warning";
  readonly text: string;
  readonly action: string;
}
