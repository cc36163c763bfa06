import { CpuSet } from "@dracpu/shared-proto/cpuset/cpuset.ts";
import { cpusOf, type Ledger } from "../ledger/ledger.ts";
import type { PrepareLog } from "./ports.ts";
import type { Shortage } from "./queue.ts";

/** A claim may come again before its release has come to its end. @returns "" when it has, or why it has not when `signal` aborts. */
export async function untilReleased(
  { ledger, shortage, log }: { readonly ledger: Ledger; readonly shortage: Shortage; readonly log: PrepareLog },
  uid: string,
  signal: AbortSignal,
): Promise<string> {
  const entry = ledger.get(uid);
  if (entry?.phase !== "draining") return "";
  log.info("a prepare waits for the release of the same claim", { claimUID: uid });
  const isOver = (): true | undefined => (ledger.get(uid) === undefined ? true : undefined);
  if ((await shortage.wait({ cpus: CpuSet.empty, fixed: true }, isOver, signal)) === true) return "";
  return `it is still being released on this node, since containers of it may live on CPUs ${cpusOf(entry).toString()}`;
}
