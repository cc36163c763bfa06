import { ContainerState, type Container, type PodSandbox } from "@dracpu/shared-proto/gen/nri/api_pb.ts";
import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { cgroupPath } from "../masks/cgrouppath.ts";
import type { ContainerPhase, ContainerRecord } from "../masks/container.ts";
import { readMarks, type MarkNames, type MarksReading } from "../truth/marks.ts";

/** Kubernetes names are at most 253 characters; what a runtime says beyond that is cut, never trusted. */
const MAX_NAME = 253;

/** A fresh record of a container that the runtime has told of at `now`. Its role and uses are decided by the caller. */
export function newRecord(pod: PodSandbox, container: Container, now: number): ContainerRecord {
  const path = cgroupPath(container.linux?.cgroupsPath ?? "");
  return {
    ref: {
      id: container.id,
      name: cut(container.name),
      podUid: cut(pod.uid),
      podNamespace: cut(pod.namespace),
      podName: cut(pod.name),
    },
    cgroup: path.kind === "path" ? path.path : undefined,
    phase: phaseOf(container),
    role: "shared",
    uses: [],
    marked: [],
    wanted: undefined,
    sent: undefined,
    own: undefined,
    effective: undefined,
    stale: false,
    readAt: 0,
    createdAt: now,
    unannounced: false,
    stored: storedMask(container),
    storedType: storedType(container),
    grants: [],
    partition: "none",
    partitionText: "",
    problem: path.kind === "bad" ? `Cannot find its cgroup: ${path.why}` : "",
    confined: "",
    stopping: false,
    outside: false,
    byRuntimeOnly: false,
  };
}

export function marksOf(container: Container, names: MarkNames, cdiVisible: boolean): MarksReading {
  return readMarks(
    {
      env: container.env,
      cdiDevices: container.CDIDevices.map((device) => device.name),
      mountDestinations: container.mounts.map((mount) => mount.destination),
      annotations: container.annotations,
    },
    names,
    cdiVisible,
  );
}

/** containerd lists everything but exited containers at Synchronize; a paused one has its processes. */
export function phaseOf(container: Container): ContainerPhase {
  switch (container.state) {
    case ContainerState.CONTAINER_RUNNING:
    case ContainerState.CONTAINER_PAUSED:
      return "running";
    case ContainerState.CONTAINER_STOPPED:
      return "stopped";
    default:
      return "created";
  }
}

/** The mask in the runtime's stored spec. It is not evidence of anything in the kernel. */
export function storedMask(container: Container): CpuSet | undefined {
  const text = container.linux?.resources?.cpu?.cpus ?? "";
  if (text === "") return undefined;
  try {
    return CpuSet.parse(text);
  } catch {
    return undefined;
  }
}

export function storedType(container: Container): string {
  return container.linux?.resources?.unified["cpuset.cpus.partition"] ?? "";
}

function cut(text: string): string {
  return text.length > MAX_NAME ? text.slice(0, MAX_NAME) : text;
}
