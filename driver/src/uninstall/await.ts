import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { CleanUpProgress } from "./ports.ts";

const AGAIN_MS = 1000;

/**
 * Waits until every node is clean, at most until `signal` aborts.
 * @returns a sentence that names the nodes which are not; "" where all are.
 */
export async function awaitClean(
  progress: (signal: AbortSignal) => Promise<CleanUpProgress>,
  signal: AbortSignal,
): Promise<string> {
  let why = "the clean-up was not looked at yet";
  while (!signal.aborted) {
    try {
      const { wanted, ready, behind } = await progress(signal);
      if (ready >= wanted && behind.length === 0) return "";
      why = `${ready} of ${wanted} nodes are clean; not yet: ${behind.join("; ")}`;
    } catch (cause) {
      if (!signal.aborted) why = (cause as Error).message;
    }
    await pause(AGAIN_MS, signal);
  }
  return why;
}
