import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";

const LOOK_MS = 1000;
/** What comes and goes with every restart is no news. */
const LASTS_MS = 5000;

/**
 * Tells each thing that is wrong with the node once, when it has lasted a while; and again when it was gone in between.
 *
 * @param findings what is wrong now.
 */
export async function tellNodeProblems(
  findings: () => readonly Finding[],
  tell: (finding: Finding) => void,
  signal: AbortSignal,
  times = { lookMs: LOOK_MS, lastsMs: LASTS_MS },
): Promise<void> {
  const since = new Map<string, { readonly at: number; told: boolean }>();
  while (!signal.aborted) {
    const now = performance.now();
    const found = findings();
    for (const id of since.keys()) if (!found.some(({ code }) => code.id === id)) since.delete(id);
    for (const finding of found) {
      const seen = since.get(finding.code.id) ?? { at: now, told: false };
      since.set(finding.code.id, seen);
      if (seen.told || now - seen.at < times.lastsMs) continue;
      seen.told = true;
      tell(finding);
    }
    await pause(times.lookMs, signal);
  }
}
