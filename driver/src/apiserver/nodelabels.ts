import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { Labels } from "@dracpu/shared-proto/settings/settings.ts";
import type { PrepareLog } from "../prepare/ports.ts";
import type { ApiServer } from "./apiserver.ts";
import { ApiFault } from "./fault.ts";

const ASK_MS = 2000;

/**
 * Labels of this node that the configuration speaks of: the API server's, or where it does not answer those of last time; without either it is asked
 * until it answers, since a guess would change what the node offers.
 */
export async function nodeLabels(
  api: ApiServer,
  memory: { lastSeen(): Labels | undefined; save(labels: Labels): Promise<void> },
  nodeName: string,
  keys: readonly string[],
  log: PrepareLog,
): Promise<Labels> {
  for (;;) {
    try {
      const all = await api.nodeLabels(nodeName, AbortSignal.timeout(ASK_MS));
      const labels = Object.fromEntries(Object.entries(all).filter(([key]) => keys.includes(key)));
      await memory.save(labels).catch((cause: unknown) => {
        log.warn("this node's labels cannot be remembered for a start without the API server", {
          cause: (cause as Error).message,
        });
      });
      return labels;
    } catch (cause) {
      if (!(cause instanceof ApiFault)) throw cause;
      const before = memory.lastSeen();
      log.warn("this node's labels cannot be read, and the configuration has settings by label", {
        cause: cause.message,
        using: before === undefined ? "nothing: waiting" : "those of last time",
      });
      if (before !== undefined) return before;
      await pause(ASK_MS, new AbortController().signal);
    }
  }
}
