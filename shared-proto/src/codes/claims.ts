import type { Code } from "./code.ts";

const AGAIN = "Nothing has to be done: the kubelet tries again.";

/** 2xx: claims, in the driver. */
export const CLAIM_CODES = {
  claimUnusable: {
    id: "DRACPU-201",
    title: "The claim cannot be served as it is written",
    severity: "wrong",
    meaning:
      "Its allocation or its parameters are none that this driver understands, or ask for what this machine can never give.",
    action: "Correct the claim, its template or its DeviceClass as the sentence says, and create the pod anew.",
  },
  cpusShort: {
    id: "DRACPU-202",
    title: "Too few CPUs are free for the claim",
    severity: "wrong",
    meaning:
      "The CPUs that the scheduler counted on are still held by others. The sentence names the holders; those being released come free when their last container has ended.",
    action:
      "Look at the holders in the sentence. A pod that hangs in termination keeps its CPUs until its containers are gone.",
  },
  notEnforced: {
    id: "DRACPU-203",
    title: "The claim's CPUs are not its own alone yet",
    severity: "wrong",
    meaning: "They are reserved, and other containers still run there or the agent cannot say.",
    action: "See the agent's problems in dracpu state. The kubelet tries again by itself.",
  },
  enforceImpossible: {
    id: "DRACPU-204",
    title: "The claim's CPUs cannot be made its own here",
    severity: "wrong",
    meaning: "What the claim asks for needs a lever that this node lacks, or its CPUs do not exist any more.",
    action:
      "Follow the sentence: change the claim, bring CPUs back online, or use a node with a newer kernel and cgroup v2.",
  },
  claimUnreadable: {
    id: "DRACPU-205",
    title: "The claim cannot be read from the API server",
    severity: "wrong",
    meaning: "The API server does not answer, refuses, or has no such claim.",
    action: "Check the API server and the driver's rights (get on resourceclaims). The kubelet tries again by itself.",
  },
  claimChanged: {
    id: "DRACPU-206",
    title: "The claim was replaced, changed or released meanwhile",
    severity: "wrong",
    meaning: "What the kubelet asks for is not what the API server or this node knows of the claim.",
    action: "Delete and create the pod anew where the sentence says so.",
  },
  driverNotReady: {
    id: "DRACPU-207",
    title: "The driver prepares no claims at this moment",
    severity: "wrong",
    meaning: "It is stopping, or has not yet learnt which claims the node already has.",
    action: AGAIN,
  },
  unprepareFailed: {
    id: "DRACPU-208",
    title: "A claim cannot be released",
    severity: "wrong",
    meaning: "Its CPUs stay with it until the release works. Kubernetes itself writes no Event for this.",
    action: "Follow the sentence; most often a disk is full or a directory cannot be written.",
  },
  claimStillInUse: {
    id: "DRACPU-209",
    title: "The claim is released, and containers of it still live",
    severity: "warning",
    meaning: "Its CPUs go to nobody until they are gone, as after a forced deletion of the pod.",
    action: "If it stays: find the process that does not end (dracpu explain names the container and its cgroup).",
  },
  requestMissing: {
    id: "DRACPU-210",
    title: "A container names a request that its claim does not have",
    severity: "warning",
    meaning: "Kubernetes gives such a container no device and no error; it runs on the shared CPUs.",
    action: "Correct the request's name in the pod.",
  },
  claimCpusOffline: {
    id: "DRACPU-211",
    title: "A claim holds CPUs that are not online",
    severity: "wrong",
    meaning: "The claim keeps them; its containers run on the rest, or do not start where nothing is left.",
    action: "Bring the CPUs back online, or delete and create the pod anew.",
  },
  claimsDisagree: {
    id: "DRACPU-212",
    title: "Driver and agent disagree about a claim",
    severity: "wrong",
    meaning: "One of them knows a claim that the other does not know, or knows it with other CPUs.",
    action:
      "Usually gone within a second. If it stays: run dracpu gather and report it; restarting the driver makes both agree.",
  },
  claimsOverlap: {
    id: "DRACPU-213",
    title: "Two claims hold the same CPU",
    severity: "wrong",
    meaning: "This must never happen.",
    action: "Run dracpu gather and report it. Delete one of the pods.",
  },
  claimGone: {
    id: "DRACPU-214",
    title: "A claim is held here and the API server does not have it",
    severity: "warning",
    meaning: "The kubelet has not unprepared it, or the API object was deleted by force.",
    action: "The driver releases it by itself within minutes. If it stays, see the driver's log.",
  },
  claimUnused: {
    id: "DRACPU-215",
    title: "A pod runs, and none of its containers uses its claim",
    severity: "warning",
    meaning:
      "The claim's CPUs are nobody else's, and the pod runs on the shared ones. Told once a container of the pod has run for a minute; init containers that take longer look the same until they end. containerd 2.0 and 2.1 with enable_cdi = false leave the claim out of containers that name it, and tell nobody.",
    action:
      "Name the claim in resources.claims of a container, and the pod's claim in spec.resourceClaims. Where a container does so: switch CDI on in the runtime (DRACPU-505).",
  },
} as const satisfies Record<string, Code>;
