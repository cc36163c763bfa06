import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import type { Entry } from "../../src/ledger/ledger.ts";

/** A claim of CPUs 2-3, for nobody yet. */
export const ENTRY: Entry = {
  claim: { uid: "u", namespace: "d", name: "c" },
  phase: "prepared",
  consumers: [],
  shares: [{ request: "r", pool: "n", device: "x", cpus: CpuSet.parse("2-3") }],
  idle: CpuSet.empty,
  isolated: false,
  results: [],
  operationId: "",
};
