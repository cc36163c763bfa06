import type { Code } from "./code.ts";

/** 3xx: containers, in the agent. */
export const CONTAINER_CODES = {
  variableForged: {
    id: "DRACPU-301",
    title: "A container carries a variable that only this driver sets",
    severity: "wrong",
    meaning:
      "An environment variable is no capability: without the CDI device of a prepared claim it gives no CPUs, and the container is refused.",
    action: "Remove the variable from the pod, and name a ResourceClaim.",
  },
  markMalformed: {
    id: "DRACPU-302",
    title: "A container carries a mark of a claim that cannot be read",
    severity: "wrong",
    meaning: "A variable or CDI device has this driver's form and no sense.",
    action: "Remove it from the pod.",
  },
  truthUnknown: {
    id: "DRACPU-303",
    title: "A claim's container comes before any driver has spoken",
    severity: "wrong",
    meaning: "The agent has just started and knows no claims.",
    action: "Nothing has to be done: it is created once the driver runs.",
  },
  claimUnknown: {
    id: "DRACPU-304",
    title: "A container's claim is not prepared here",
    severity: "wrong",
    meaning: "The container shows a claim that this node does not know.",
    action: "If the pod is not being deleted, delete and create it anew.",
  },
  claimReleased: {
    id: "DRACPU-305",
    title: "A container's claim has been released",
    severity: "wrong",
    meaning: "The container came after its claim was unprepared.",
    action: "Delete and create the pod anew.",
  },
  requestUnknown: {
    id: "DRACPU-306",
    title: "A container's claim has no CPUs for its request",
    severity: "wrong",
    meaning: "The claim has no request of that name with CPUs of this driver.",
    action: "Correct the request's name in the pod.",
  },
  reservationUnknown: {
    id: "DRACPU-307",
    title: "A claim is not reserved for this pod as far as is known here",
    severity: "warning",
    meaning: "A second pod uses the claim; the kubelet does not prepare it again, so the driver reads the claim anew.",
    action: "Nothing has to be done: the kubelet tries again.",
  },
  otherPodLives: {
    id: "DRACPU-308",
    title: "Another pod still uses the claim",
    severity: "wrong",
    meaning:
      "Exclusive CPUs are not shared between pods; the container waits until no container of the other pod lives.",
    action: "Use a ResourceClaimTemplate, so that each pod has a claim of its own.",
  },
  cpusOffline: {
    id: "DRACPU-309",
    title: "All CPUs of a container are offline",
    severity: "wrong",
    meaning: "The container's claim has CPUs, and none of them is online.",
    action: "Bring one back online.",
  },
  startRefused: {
    id: "DRACPU-310",
    title: "A container would have started on wrong CPUs",
    severity: "wrong",
    meaning: "Its mask or partition could not be put right before its start, so it was not started.",
    action: "Follow the sentence; the kubelet tries again.",
  },
  escaped: {
    id: "DRACPU-311",
    title: "A container ran outside its mask",
    severity: "wrong",
    meaning:
      "Something else on the node changed its cgroup, an update was lost, or it was created while the agent was away. It is put back and counted.",
    action:
      "If it comes again: find who writes cpusets on this node (kubelet CPU manager, other NRI plugins, systemd, a privileged pod).",
  },
  maskFailed: {
    id: "DRACPU-312",
    title: "A container's mask or partition cannot be set",
    severity: "wrong",
    meaning:
      "The kernel or the runtime does not take what is wanted; the claim is not exclusive as long as it stays so.",
    action: "Follow the sentence. The agent tries again and again.",
  },
  confined: {
    id: "DRACPU-313",
    title: "A running container shows a claim that is not believed",
    severity: "warning",
    meaning: "It was found running, its claim is unknown or released, and it is confined to the shared CPUs.",
    action: "Delete and create the pod anew where it should have CPUs of its own.",
  },
  outside: {
    id: "DRACPU-314",
    title: "A container may run on CPUs that it should not have",
    severity: "wrong",
    meaning: "Wanted and effective CPUs differ at this moment.",
    action: "Usually repaired within seconds. If it stays: see the container's problem in dracpu state.",
  },
  threadNarrow: {
    id: "DRACPU-315",
    title: "A process of a container has an affinity of its own",
    severity: "warning",
    meaning:
      "A thread runs on fewer CPUs than its container may use, because it or the runtime has set its affinity. dracpu doctor on the node looks at every thread; the agent, with --host-proc, at containers without a claim all of whose threads stay on fewer CPUs, as those of an old runc do when the shared pool grows.",
    action:
      "Nothing, where the program pins its threads itself. Else use a runc that resets the affinity (1.3.1 or later).",
  },
  isolationClash: {
    id: "DRACPU-316",
    title: "Containers of a pod cannot be isolated beside another one",
    severity: "wrong",
    meaning:
      "Several containers of the pod use the same isolated CPUs, which makes the pod one cpuset partition; a container without that claim cannot be in it, so whichever comes last is refused.",
    action: "Give each container a claim or a request of its own, or do not ask for isolated CPUs.",
  },
  creationFails: {
    id: "DRACPU-317",
    title: "A container cannot be created, though this agent has agreed",
    severity: "warning",
    meaning:
      "The runtime gives up on it again and again. So it looks when another NRI plugin sets cpusets too, which NRI does not allow; an image or a mount can be the reason as well.",
    action: "See the pod's Events. Where they name another plugin, remove it or let it set no cpuset.",
  },
} as const satisfies Record<string, Code>;
