import type { Code } from "./code.ts";

/** 1xx: the two programs, and what connects them. */
export const PROGRAM_CODES = {
  sessionAway: {
    id: "DRACPU-101",
    title: "No synchronized NRI session",
    severity: "wrong",
    meaning:
      "The agent is not connected to the container runtime, or the runtime has not listed its containers yet. Claims keep their CPUs, but a claim's container does not start, and with masks new ordinary containers run unconfined until the session is back.",
    action:
      "Look at the reason in the sentence. Socket missing: switch NRI on in the runtime's configuration. Waiting for Synchronize: a container is in its termination grace; it goes on by itself when that is over.",
  },
  noTruth: {
    id: "DRACPU-102",
    title: "The agent knows of no claims yet",
    severity: "wrong",
    meaning:
      "The agent has no file of its own and no driver has spoken to it since it started. It touches no container, and refuses those of claims.",
    action: "See why the driver container does not run or does not reach the agent's control socket.",
  },
  unconfirmed: {
    id: "DRACPU-103",
    title: "Claims are known from the agent's file only",
    severity: "warning",
    meaning: "The agent enforces what it remembers; no driver has confirmed it since the agent started.",
    action: "Usually gone within a second. If it stays: see why the driver container does not run.",
  },
  poolFellBack: {
    id: "DRACPU-104",
    title: "The shared pool uses the reserved CPUs",
    severity: "warning",
    meaning: "Claims take every CPU that is not reserved, so ordinary containers run on the reserved ones.",
    action: "Raise --keep-shared of the driver, or give the node fewer claims.",
  },
  poolOverlaps: {
    id: "DRACPU-105",
    title: "The shared pool overlaps claims",
    severity: "wrong",
    meaning:
      "Claims take every CPU and none is reserved. The shared pool must not be empty, so ordinary containers run on claims' CPUs.",
    action: "Raise --keep-shared of the driver, or reserve CPUs with --reserved-cpus.",
  },
  agentAway: {
    id: "DRACPU-106",
    title: "The driver does not reach the agent",
    severity: "wrong",
    meaning: "Nothing moves, and no new claim is prepared until the agent answers on its control socket.",
    action:
      "See whether the agent container runs, and whether both containers share the directory of the control socket.",
  },
  driverAway: {
    id: "DRACPU-107",
    title: "The driver does not answer",
    severity: "wrong",
    meaning: "Claims keep their CPUs; no new claim is prepared and none is released until it is back.",
    action: "See why the driver container does not run: kubectl logs, kubectl describe pod.",
  },
  inspectAway: {
    id: "DRACPU-108",
    title: "The agent's inspect socket does not answer",
    severity: "wrong",
    meaning: "Nobody can say which container runs on which CPUs. Running claims keep theirs.",
    action: "See why the agent container does not run; check --inspect-socket of both programs.",
  },
  versionSkew: {
    id: "DRACPU-109",
    title: "Driver and agent are of different releases",
    severity: "warning",
    meaning: "One minor version apart works; further apart they may not find a protocol in common.",
    action: "Finish the upgrade.",
  },
  restartStalls: {
    id: "DRACPU-110",
    title: "Restarting the agent now would stall pod starts",
    severity: "warning",
    meaning:
      "A container is in its termination grace; the runtime holds the lock that a new session needs until it is over.",
    action:
      "Wait with the restart until the state knows of none. containerd tells of a stop when it is over only: look, too, that no pod of the node is Terminating.",
  },
} as const satisfies Record<string, Code>;
