import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { ClaimPhase, Entry } from "./ledger.ts";

/** What survives the process and the node. */
export interface Memory {
  readonly bootId: string;
  /** Highest epoch this driver has used with an agent. */
  readonly epoch: bigint;
  readonly entries: readonly Entry[];
  /** False while claims may live on the node that are not among the entries: an earlier checkpoint was lost, and not everybody was asked yet. */
  readonly complete: boolean;
}

const VERSION = 1;
const PHASES: readonly ClaimPhase[] = ["allocated", "preparing", "prepared", "draining"];

/** The checkpoint's text, JSON. Later versions may add members; a reader skips those it does not know. */
export function printMemory(memory: Memory): string {
  return JSON.stringify({
    version: VERSION,
    bootId: memory.bootId,
    epoch: String(memory.epoch),
    ...(memory.complete ? {} : { incomplete: true }),
    claims: memory.entries.map((entry) => ({
      ...entry,
      shares: entry.shares.map((share) => ({ ...share, cpus: share.cpus.toString() })),
      idle: entry.idle.toString(),
      ...(entry.chosen === undefined ? {} : { chosen: { ...entry.chosen, free: entry.chosen.free.toString() } }),
    })),
  });
}

/** @throws Error naming what is wrong. */
export function parseMemory(text: string): Memory {
  const found = JSON.parse(text) as {
    version?: number;
    bootId?: string;
    epoch?: string;
    incomplete?: boolean;
    claims?: (Omit<Entry, "shares" | "idle" | "chosen"> & {
      shares: (Omit<Entry["shares"][number], "cpus"> & { cpus: string })[];
      idle: string;
      chosen?: { atMs: number; free: string; wishes: string[] };
    })[];
  };
  if (found.version !== VERSION)
    throw new Error(`its version is ${String(found.version)}, this driver reads ${VERSION}`);
  if (!Array.isArray(found.claims)) throw new Error("it has no claims");
  return {
    bootId: found.bootId ?? "",
    epoch: BigInt(found.epoch ?? "0"),
    complete: found.incomplete !== true,
    entries: found.claims.map((claim) => {
      if (!PHASES.includes(claim.phase))
        throw new Error(`claim ${claim.claim.uid} is in the unknown phase ${claim.phase}`);
      return {
        claim: claim.claim,
        phase: claim.phase,
        consumers: claim.consumers,
        shares: claim.shares.map((share) => ({ ...share, cpus: CpuSet.parse(share.cpus) })),
        idle: CpuSet.parse(claim.idle),
        isolated: claim.isolated,
        results: claim.results,
        operationId: claim.operationId,
        ...(claim.chosen === undefined ? {} : { chosen: { ...claim.chosen, free: CpuSet.parse(claim.chosen.free) } }),
      };
    }),
  };
}

/**
 * After a reboot no container of before lives: what was prepared is allocated (the kubelet prepares it again, on the same CPUs),
 * what was draining is gone.
 */
export function afterBoot(memory: Memory, bootId: string): Memory {
  if (memory.bootId === bootId) return memory;
  const entries = memory.entries
    .filter((entry) => entry.phase !== "draining")
    .map((entry): Entry => ({ ...entry, phase: "allocated" }));
  return { ...memory, bootId, entries };
}
