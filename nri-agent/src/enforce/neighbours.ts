import type { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ContainerRecord } from "../masks/container.ts";
import { parentOf } from "../partitions/plan.ts";
import type { NodeKnowledge } from "./node.ts";
import type { Partitioner } from "./partitioner.ts";
import type { CgroupPort } from "./ports.ts";

/** Who else is in a container's pod or on its CPUs. Who lives is asked of the kernel. */
export class Neighbours {
  readonly #node: NodeKnowledge;
  readonly #cgroup: CgroupPort;
  readonly #partitions: Partitioner;

  constructor(parts: { node: NodeKnowledge; cgroup: CgroupPort; partitions: Partitioner }) {
    this.#node = parts.node;
    this.#cgroup = parts.cgroup;
    this.#partitions = parts.partitions;
  }

  inPod(container: ContainerRecord): ContainerRecord[] {
    return this.#alive((other) => other !== container && other.ref.podUid === container.ref.podUid);
  }

  livingOn(container: ContainerRecord, cpus: CpuSet): ContainerRecord[] {
    return this.#alive(
      (other) => other !== container && other.role === "claim" && other.wanted?.overlaps(cpus) === true,
    );
  }

  share(other: ContainerRecord, container: ContainerRecord): boolean {
    return container.uses.some((use) => this.#node.isOf(other, use.claimUid));
  }

  /** @returns "" or who of another claim runs on the CPUs. */
  strangerOn(container: ContainerRecord, cpus: CpuSet): string {
    const stranger = this.livingOn(container, cpus).find((other) => !this.share(other, container));
    return stranger === undefined ? "" : `${nameOf(stranger)} of another claim still runs on them`;
  }

  /** Claim containers of its pod that are created and not started: the runtime may give them cgroups at any time, with or without us. */
  comingInPod(container: ContainerRecord): ContainerRecord[] {
    const found: ContainerRecord[] = [];
    for (const other of this.#node.containers.values()) {
      if (other === container || other.phase !== "created" || other.role !== "claim") continue;
      if (other.ref.podUid === container.ref.podUid) found.push(other);
    }
    return found;
  }

  /** Containers with processes. One whose process just died may still be in the runtime's list with an empty cgroup. */
  #alive(which: (container: ContainerRecord) => boolean): ContainerRecord[] {
    const found: ContainerRecord[] = [];
    for (const other of this.#node.containers.values()) {
      if (other.phase === "created" || other.cgroup === undefined || !which(other)) continue;
      if (this.#cgroup.populated(other.cgroup)) found.push(other);
      else this.#partitions.forget(other);
    }
    return found;
  }
}

/** The parent of its cgroup, where that is a pod's. */
export function podCgroup(container: ContainerRecord): string | undefined {
  const { cgroup } = container;
  if (cgroup === undefined) return undefined;
  const parent = parentOf(cgroup);
  return parent.split("/").filter((part) => part !== "").length >= 2 ? parent : undefined;
}

export function nameOf({ ref }: ContainerRecord): string {
  return `container ${ref.name} of pod ${ref.podNamespace}/${ref.podName}`;
}
