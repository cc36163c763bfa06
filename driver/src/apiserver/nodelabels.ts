import type { KnownLabels } from "@dracpu/shared-proto/disk/labelsfile.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { PrepareLog } from "../prepare/ports.ts";
import type { ApiServer } from "./apiserver.ts";
import { ApiFault } from "./fault.ts";

const ASK_MS = 2000;
const INSISTING_MS = 500;

export interface LabelsMemory {
  lastSeen(): KnownLabels | undefined;
  save(labels: KnownLabels): Promise<void>;
}

/**
 * Labels of this node that the configuration speaks of: the API server's, or where it does not answer those of last time; without either it is asked
 * until it answers, since a guess would change what the node offers.
 *
 * @param keys a memory that lacks one of them is of another configuration, and none.
 * @param insistMs how long it is asked before those of last time are taken.
 */
export async function nodeLabels(
  api: ApiServer,
  memory: LabelsMemory,
  nodeName: string,
  keys: readonly string[],
  log: PrepareLog,
  insistMs = 0,
): Promise<KnownLabels> {
  const end = performance.now() + insistMs;
  let said = "";
  for (;;) {
    try {
      const all = await api.nodeLabels(nodeName, AbortSignal.timeout(ASK_MS));
      const labels = Object.fromEntries(keys.map((key) => [key, all[key] ?? null]));
      await memory.save(labels).catch((cause: unknown) => {
        log.warn("this node's labels cannot be remembered for a start without the API server", {
          cause: (cause as Error).message,
        });
      });
      return labels;
    } catch (cause) {
      if (!(cause instanceof ApiFault)) throw cause;
      const before = memory.lastSeen();
      const isKnown = before !== undefined && keys.every((key) => Object.hasOwn(before, key));
      const isLast = isKnown && performance.now() >= end;
      const using = isLast
        ? "those of last time"
        : isKnown
          ? "those of last time, unless it answers soon"
          : "nothing: waiting";
      if (`${using} ${cause.message}` !== said)
        log.warn("this node's labels cannot be read, and the configuration has settings by label", {
          cause: cause.message,
          using,
        });
      said = `${using} ${cause.message}`;
      if (isLast) return before;
      await pause(isKnown ? INSISTING_MS : ASK_MS, new AbortController().signal);
    }
  }
}
