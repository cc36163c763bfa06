import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { LettingGo, OwnFiles } from "./ports.ts";

const AGAIN_MS = 500;
/** Containers named in one sentence. */
const MAX_NAMED = 5;

export interface CleanParts {
  readonly agent: LettingGo;
  readonly files: OwnFiles;
  /** What it is at, or waits for; once per change. */
  say(what: string): void;
}

/**
 * Takes away what this product has on a node: first the agent gives every container back the CPUs it would have without us; files last, since the agent lives on one
 * of them until then. Each step is tried until it is done; ends with `signal` otherwise. Nothing of it needs the API server: the nodes' slices are taken away for all of
 * them when all are clean.
 *
 * @returns whether the node is clean.
 */
export async function cleanNode(parts: CleanParts, signal: AbortSignal): Promise<boolean> {
  const steps = [
    () => parts.agent.letGo(signal),
    async () => {
      const { blind, wrong } = await parts.agent.view(signal);
      if (blind !== "") throw new Error(blind);
      if (wrong.length > 0) {
        const more = wrong.length > MAX_NAMED ? ` and ${wrong.length - MAX_NAMED} more` : "";
        throw new Error(`waiting until they have their CPUs: ${wrong.slice(0, MAX_NAMED).join(", ")}${more}`);
      }
    },
    async () => {
      const removed = await parts.files.remove();
      parts.say(`clean; removed ${removed.length === 0 ? "nothing" : removed.join(", ")}`);
    },
  ];
  let said = "";
  for (const step of steps) {
    for (;;) {
      if (signal.aborted) return false;
      try {
        await step();
        break;
      } catch (cause) {
        const why = (cause as Error).message;
        if (why !== said) parts.say(why);
        said = why;
        await pause(AGAIN_MS, signal);
      }
    }
  }
  return true;
}
