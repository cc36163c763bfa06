import type { ResourceClaim } from "../claims/resourceclaim.ts";

/** Claims of all namespaces that have an allocation. */
export interface AllocatedClaims {
  allocated(signal: AbortSignal): Promise<ResourceClaim[]>;
}

/** What an agent says of containers. */
export interface AgentView {
  /** No session with the runtime yet, or containers that are not looked at: why; empty where everything is known. */
  readonly blind: string;
  /** Nor will there be one: the runtime has no NRI socket. */
  readonly forGood: boolean;
  /** Containers that are partitions still, or whose own masks are not what they should be, as `namespace/pod/container`. */
  readonly wrong: readonly string[];
}

/** The agent of a node that is being cleaned. */
export interface LettingGo {
  /** Tells the agent that there are no claims and no reserved CPUs, and that nobody is to be kept off anything. */
  letGo(signal: AbortSignal): Promise<void>;
  view(signal: AbortSignal): Promise<AgentView>;
}

/** This product's files on the node, all of them. */
export interface OwnFiles {
  /** @returns what was there. */
  remove(): Promise<readonly string[]>;
}

export interface DaemonSetName {
  readonly namespace: string;
  readonly name: string;
}

/** The clean-up of all nodes, as one looks at it from outside of them. */
export interface CleanUp {
  progress(signal: AbortSignal): Promise<CleanUpProgress>;
  /** Takes away the nodes' slices, then the clean-up itself; may be tried again. */
  end(nodes: readonly string[], signal: AbortSignal): Promise<void>;
}

/** How far the nodes of a clean-up are. */
export interface CleanUpProgress {
  readonly wanted: number;
  readonly ready: number;
  /** Nodes whose pod is not done, with what is known of it. */
  readonly behind: readonly string[];
  /** Nodes that have a pod of it. */
  readonly nodes: readonly string[];
}
