import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Machine } from "../../driver/src/topology/machine.ts";
import type { Policy } from "../../driver/src/allocator/allocate.ts";
import { machineOf, type Row } from "../allocator/machine.ts";

/** What somebody's allocator said: a kernel list, `""` for none taken. */
export type Recorded = string | { readonly error: string };

export interface Case {
  /** The file's own id, else `<line>` counted from 1. */
  readonly id: string;
  readonly machine: string;
  readonly available: string;
  readonly take: number;
  readonly policy: Policy["strategy"];
  readonly options: {
    readonly l3?: boolean;
    readonly fullPCPUs?: boolean;
    readonly affinity?: unknown;
    readonly alignBySocket?: unknown;
  };
  readonly kubelet: Recorded;
  readonly wrong?: readonly string[];
}

function lines<T>(path: string): T[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => JSON.parse(line) as T);
}

export function readVectors(folder: string): { machines: ReadonlyMap<string, Machine>; cases: readonly Case[] } {
  const machines = lines<{ id: string; cpus: Row[] }>(join(folder, "machines.jsonl"));
  const cases = lines<Case>(join(folder, "cases.jsonl"));
  return {
    machines: new Map(machines.map(({ id, cpus }) => [id, machineOf(cpus)])),
    cases: cases.map((one, index) => ({ ...one, id: one.id ?? String(index + 1) })),
  };
}

/** `l3: any` without prefer-align-cpus-by-uncorecache; full-pcpus-only is judged apart, in `answer.ts`. */
export function policyOf(one: Case): Policy {
  return { strategy: one.policy, cores: "any", l3: one.options.l3 === true ? "prefer" : "any", coreType: "any" };
}
