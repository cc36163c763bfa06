import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { Progress } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import { pause } from "@dracpu/shared-proto/lifecycle/wait.ts";
import { cpusOf, toAllocation, type Entry } from "../ledger/ledger.ts";
import type { AgentLink } from "./agentlink.ts";
import { AgentFault, type CdiPort } from "./ports.ts";
import { Refused } from "./refused.ts";

const RETRY_AGENT_MS = 200;
/** What the agent refuses, it will not take at once. */
const RETRY_REFUSED_MS = 2000;

/**
 * The claim's CDI file, and the agent's word that its CPUs are its own: side by side, since neither does harm without the other, and
 * a claim is prepared only when both are there.
 *
 * @throws Refused, with the sentence of what failed first.
 */
export async function fulfil(
  ports: { readonly cdi: CdiPort; readonly link: AgentLink },
  at: string,
  entry: Entry,
  signal: AbortSignal,
): Promise<void> {
  const failed = new AbortController();
  const enforced = enforce(ports.link, at, entry, AbortSignal.any([signal, failed.signal]));
  const written = ports.cdi.write(toAllocation(entry));
  try {
    await Promise.all([enforced, written]);
  } catch (cause) {
    failed.abort();
    // The claim's turn ends with this call: nothing of it may go on in the next one's.
    await Promise.allSettled([enforced, written]);
    throw cause instanceof Refused
      ? cause
      : new Refused(CODES.checkpointUnwritable, `Cannot prepare ${at}: ${(cause as Error).message}`, { cause });
  }
}

async function enforce(link: AgentLink, at: string, entry: Entry, signal: AbortSignal): Promise<void> {
  let why: string | undefined;
  while (!signal.aborted) {
    try {
      const progress = await link.progress(entry.claim.uid, 5000, signal);
      if (progress.progress === Progress.ENFORCED) return;
      if (progress.progress === Progress.IMPOSSIBLE)
        throw new Refused(
          CODES.enforceImpossible,
          `Cannot prepare ${at} on CPUs ${cpusOf(entry).toString()}: ${progress.why}`,
        );
      if (progress.why !== "") why = progress.why;
      await pause(RETRY_AGENT_MS, signal);
    } catch (cause) {
      if (cause instanceof Refused) throw cause;
      // A call that the end of the time cuts off says less than the one before it.
      if (!signal.aborted || why === undefined) why = (cause as Error).message;
      await pause(cause instanceof AgentFault && cause.code === "refused" ? RETRY_REFUSED_MS : RETRY_AGENT_MS, signal);
    }
  }
  throw new Refused(
    CODES.notEnforced,
    `Cannot prepare ${at}: its CPUs ${cpusOf(entry).toString()} are reserved, but not yet its own alone: ${why ?? "the NRI agent did not answer"}. The kubelet tries again by itself`,
  );
}
