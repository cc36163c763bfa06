import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { CleanUp } from "./ports.ts";

const AGAIN_MS = 1000;

/**
 * Waits until every node is clean, at most until `signal` aborts, and then ends the clean-up. No driver is left on any node by then that would publish again what is
 * taken away.
 * @returns a sentence that names the nodes which are not clean, or what could not be taken away; "" where all is done.
 */
export async function awaitClean(cleanUp: CleanUp, signal: AbortSignal): Promise<string> {
  let why = "the clean-up was not looked at yet";
  let clean: readonly string[] | undefined;
  while (!signal.aborted) {
    try {
      if (clean === undefined) {
        const { wanted, ready, behind, nodes } = await cleanUp.progress(signal);
        if (ready >= wanted && behind.length === 0) {
          clean = nodes;
          why = "every node is clean, but slices and the clean-up itself were not all taken away in time";
        } else why = `${ready} of ${wanted} nodes are clean; not yet: ${behind.join("; ")}`;
      }
      if (clean !== undefined) {
        await cleanUp.end(clean, signal);
        return "";
      }
    } catch (cause) {
      const said = (cause as Error).message;
      if (!signal.aborted) why = clean === undefined ? said : `every node is clean, but ${said}`;
    }
    await pause(AGAIN_MS, signal);
  }
  return why;
}
