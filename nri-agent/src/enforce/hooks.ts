import type {
  Container,
  ContainerUpdate,
  CreateContainerResponse,
  LinuxResources,
  PodSandbox,
  StopContainerResponse,
  UpdateContainerResponse,
} from "@dracpu/shared-proto/gen/nri/api_pb.ts";

/** What the runtime said of itself in Configure. */
export interface RuntimeIdentity {
  /** "containerd", "cri-o". */
  readonly name: string;
  readonly version: string;
  /** `NRI_version`, told by NRI >= 0.12; `undefined` where the runtime did not say. */
  readonly nriVersion: string | undefined;
  /** Milliseconds the runtime gives one request; 0 where it did not say (NRI < 0.8). */
  readonly requestTimeoutMs: number;
}

/** One life of the connection to the runtime; ids are never used twice. */
export interface Session {
  readonly id: string;
  readonly runtime: RuntimeIdentity;
}

/** What a session's versions allow. */
export interface SessionFacts {
  readonly cdiVisible: boolean;
  readonly canUpdate: boolean;
}

/**
 * A hook throws this to fail the request that the runtime is working on. The text reaches the pod's Event.
 * Only CreateContainer, UpdateContainer and StartContainer can be refused (the runtime only logs the others).
 */
export class HookRefusal extends Error {
  override readonly name = "HookRefusal";
}

/**
 * The runtime's events, in the order in which it sends them. The runtime edge calls these; the enforcer implements them.
 *
 * The runtime serializes events, except that Synchronize of a new session may overlap the end of an old one.
 * Hooks that return a value are synchronous: they compute from memory. `synchronize` and `startContainer` may read
 * and write cgroup files. A thrown {@link HookRefusal} becomes an error status; anything else thrown is a defect that the
 * edge logs, counts, and answers as an error without closing the session.
 */
export interface RuntimeHooks {
  /** After Configure was answered. */
  sessionConfigured(session: Session): void;
  /** All pods and containers the runtime lists, once it has sent every part; to be gone through once. At most 16 updates come back. */
  synchronize(pods: readonly PodSandbox[], containers: Iterable<Container>): Promise<ContainerUpdate[]>;
  createContainer(pod: PodSandbox, container: Container): CreateContainerResponse;
  postCreateContainer(pod: PodSandbox, container: Container): void;
  startContainer(pod: PodSandbox, container: Container): Promise<void>;
  postStartContainer(pod: PodSandbox, container: Container): void;
  updateContainer(
    pod: PodSandbox,
    container: Container,
    resources: LinuxResources | undefined,
  ): UpdateContainerResponse;
  postUpdateContainer(pod: PodSandbox, container: Container): void;
  stopContainer(pod: PodSandbox, container: Container): StopContainerResponse;
  removeContainer(pod: PodSandbox, container: Container): void;
  /** The connection is gone, for whatever reason; called once per configured session. */
  sessionClosed(session: Session, why: string): void;
}

/** What the enforcer may ask of the runtime, outside of any hook. Never awaited inside one: it would wait for itself. */
export interface RuntimeCalls {
  /**
   * Runtime.UpdateContainers. Only where the runtime's NRI is 0.12.1 or later (older ones deadlock for good).
   * Resolves when the runtime has answered; success is no proof that the kernel has the mask (containerd reports
   * success for updates it lost). Rejects when the session is gone or the runtime says that some updates failed.
   */
  updateContainers(updates: readonly ContainerUpdate[]): Promise<void>;
}
