import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Entry, Later } from "./ledger.ts";
import { nextPhase, type ClaimPhase } from "./phase.ts";

/** What survives the process and the node. */
export interface Memory {
  readonly bootId: string;
  /** Highest epoch this driver has used with an agent. */
  readonly epoch: bigint;
  readonly entries: readonly Entry[];
  /** False while claims may live on the node that are not among the entries: an earlier checkpoint was lost, and not everybody was asked yet. */
  readonly complete: boolean;
  /** Members that a later version added: kept, so that they survive a downgrade and the way back. */
  readonly later?: Later;
}

const VERSION = 1;
const PHASES: readonly ClaimPhase[] = ["allocated", "preparing", "prepared", "draining"];

/** The checkpoint's text, JSON. Later versions may add members; a version that does not know them writes them again as they were. */
export function printMemory(memory: Memory): string {
  return JSON.stringify({
    ...memory.later,
    version: VERSION,
    bootId: memory.bootId,
    epoch: String(memory.epoch),
    ...(memory.complete ? {} : { incomplete: true }),
    claims: memory.entries.map(({ later, ...entry }) => ({
      ...later,
      ...entry,
      shares: entry.shares.map((share) => ({ ...share, cpus: share.cpus.toString() })),
      idle: entry.idle.toString(),
      ...(entry.chosen === undefined ? {} : { chosen: { ...entry.chosen, free: entry.chosen.free.toString() } }),
    })),
  });
}

/** @throws Error naming what is wrong. */
export function parseMemory(text: string): Memory {
  const { version, bootId, epoch, incomplete, claims, ...rest } = JSON.parse(text) as {
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
  if (version !== VERSION) throw new Error(`its version is ${String(version)}, this driver reads ${VERSION}`);
  if (!Array.isArray(claims)) throw new Error("it has no claims");
  return {
    bootId: bootId ?? "",
    epoch: BigInt(epoch ?? "0"),
    complete: incomplete !== true,
    entries: claims.map(
      ({ claim, phase, consumers, shares, idle, isolated, results, operationId, podClaimName, chosen, ...more }) => {
        if (!PHASES.includes(phase)) throw new Error(`claim ${claim.uid} is in the unknown phase ${phase}`);
        return {
          claim,
          phase,
          consumers,
          shares: shares.map((share) => ({ ...share, cpus: CpuSet.parse(share.cpus) })),
          idle: CpuSet.parse(idle),
          isolated,
          results,
          operationId,
          ...(podClaimName === undefined ? {} : { podClaimName }),
          ...(chosen === undefined ? {} : { chosen: { ...chosen, free: CpuSet.parse(chosen.free) } }),
          ...laterOf(more),
        };
      },
    ),
    ...laterOf(rest),
  };
}

function laterOf(members: Later): { readonly later?: Later } {
  return Object.keys(members).length === 0 ? {} : { later: members };
}

/**
 * After a reboot no container of before lives: what was prepared is allocated (the kubelet prepares it again, on the same CPUs),
 * what was draining is gone.
 */
export function afterBoot(memory: Memory, bootId: string): Memory {
  if (memory.bootId === bootId) return memory;
  const entries = memory.entries.flatMap((entry): Entry[] => {
    const phase = nextPhase(entry.phase, "reboot");
    return phase === undefined ? [] : [{ ...entry, phase }];
  });
  return { ...memory, bootId, entries };
}
