import type { Container, PodSandbox } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import type { ContainerRecord } from "../masks/container.ts";
import type { ClaimStart } from "./claimstart.ts";
import type { FailedCreations } from "./failedcreations.ts";
import type { ForeignLoad } from "./foreignload.ts";
import type { MaskMover } from "./mover.ts";
import type { NarrowThreads } from "./narrowthreads.ts";
import type { NodeKnowledge } from "./node.ts";
import type { Partitioner } from "./partitioner.ts";
import type { CgroupPort, Clock, MachinePort, Observer } from "./ports.ts";
import type { Reaper } from "./reaper.ts";
import type { Sayings } from "./sayings.ts";
import type { UnusedClaims } from "./unusedclaims.ts";
import type { RuntimeUpdates } from "./updates.ts";

/** What the handlers of hooks, of the contract, and of Synchronize work with. `enforcer.ts` puts it together. */
export interface EnforcerParts {
  readonly node: NodeKnowledge;
  readonly cgroup: CgroupPort;
  readonly machine: MachinePort;
  readonly clock: Clock;
  readonly observer: Observer;
  readonly mover: MaskMover;
  readonly updates: RuntimeUpdates;
  readonly partitions: Partitioner;
  readonly claimStart: ClaimStart;
  readonly reaper: Reaper;
  readonly say: Sayings;
  readonly failed: FailedCreations;
  readonly foreign: ForeignLoad;
  readonly narrow: NarrowThreads;
  readonly unused: UnusedClaims;
  /** Who waits for progress is to look again. */
  changed(): void;
  /** A record, with role and uses, of a container that was not created under our eyes. */
  classify(pod: PodSandbox, container: Container, cdiVisible: boolean): ContainerRecord;
}
