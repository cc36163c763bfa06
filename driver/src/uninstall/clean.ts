import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import type { LettingGo, OwnFiles } from "./ports.ts";

const AGAIN_MS = 500;
/**
 * For what may never come: a runtime without NRI, whose containers nobody can have moved, or a container that the kernel does not let have its CPUs. The node's files go all
 * the same, below the time that an uninstallation has for all nodes by default.
 */
const PATIENCE_MS = 45_000;
/** Containers named in one sentence. */
const MAX_NAMED = 5;

export interface CleanParts {
  readonly agent: LettingGo;
  readonly files: OwnFiles;
  /** What it is at, or waits for; once per change. */
  say(what: string): void;
  /** Milliseconds of a clock that nobody sets. */
  now(): number;
}

/**
 * Takes away what this product has on a node: first the agent gives every container back the CPUs it would have without us; files last, since the agent lives on one
 * of them until then. Each step is tried until it is done; ends with `signal` otherwise. Nothing of it needs the API server: the nodes' slices are taken away for all of
 * them when all are clean.
 *
 * @returns whether the node is clean.
 */
export async function cleanNode(parts: CleanParts, signal: AbortSignal): Promise<boolean> {
  let seen: number | undefined;
  const steps = [
    () => parts.agent.letGo(signal),
    async () => {
      const { blind, forGood, wrong } = await parts.agent.view(signal);
      if (blind !== "" && !forGood) throw new Error(blind);
      if (blind === "" && wrong.length === 0) return;
      const more = wrong.length > MAX_NAMED ? ` and ${wrong.length - MAX_NAMED} more` : "";
      const why = blind || `waiting until they have their CPUs: ${wrong.slice(0, MAX_NAMED).join(", ")}${more}`;
      seen ??= parts.now();
      if (parts.now() - seen < PATIENCE_MS) throw new Error(why);
      parts.say(`goes on without that after ${PATIENCE_MS / 1000} s: ${why}`);
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
