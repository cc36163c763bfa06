import { AgentFault } from "./ports.ts";

/** Waits for shared work no longer than `signal` allows. */
export function before(signal: AbortSignal, work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new AgentFault("timeout", "the NRI agent did not answer in time"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
