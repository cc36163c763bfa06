import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import { nriAbilities } from "../nri/version.ts";
import type { ContainerRecord } from "../masks/container.ts";
import type { NodeKnowledge } from "./node.ts";
import type { Clock } from "./ports.ts";

/** Init containers that name no claim come first, and most end in this time. */
const USES_WITHIN_MS = 60_000;
const MAX_TOLD = 5;

/**
 * Claims whose pod runs, and which no container has used: they take their CPUs from everybody and nobody runs on them. No hook can tell, since a
 * container without its claim looks like any other one.
 */
export class UnusedClaims {
  readonly #node: NodeKnowledge;
  readonly #clock: Clock;
  /** Uids of claims whose containers have ended; others may come. */
  readonly #were = new Set<string>();

  constructor(node: NodeKnowledge, clock: Clock) {
    this.#node = node;
    this.#clock = clock;
  }

  ended(containers: readonly ContainerRecord[]): void {
    for (const { uses } of containers) for (const use of uses) this.#were.add(use.claimUid);
    for (const uid of this.#were) if (!this.#node.allocations.has(uid)) this.#were.delete(uid);
  }

  findings(): Finding[] {
    const { allocations, containers, session } = this.#node;
    if (allocations.size === 0) return [];
    const used = new Set(this.#were);
    const runs = new Map<string, { readonly pod: string; count: number; since: number }>();
    for (const { ref, phase, uses, createdAt, stopping } of containers.values()) {
      for (const use of uses) used.add(use.claimUid);
      if (phase !== "running" || stopping) continue;
      const pod = runs.get(ref.podUid) ?? { pod: `${ref.podNamespace}/${ref.podName}`, count: 0, since: createdAt };
      pod.count += 1;
      pod.since = Math.min(pod.since, createdAt);
      runs.set(ref.podUid, pod);
    }
    const mayLeaveOut = session !== undefined && !nriAbilities(session.runtime).cdiVisible;
    const runtimes = mayLeaveOut ? ", or the runtime's CDI is off (enable_cdi), which this one does not tell" : "";
    const found: Finding[] = [];
    for (const { claim, state, consumers } of allocations.values()) {
      if (state === "draining" || used.has(claim.uid)) continue;
      for (const consumer of consumers) {
        const pod = runs.get(consumer.uid);
        if (pod === undefined || this.#clock.now() - pod.since < USES_WITHIN_MS) continue;
        found.push({
          code: CODES.claimUnused,
          text: `No container of pod ${pod.pod} has used claim ${claim.namespace}/${claim.name}, which is prepared for it, and ${pod.count} run without: none names it in resources.claims, or the one that does has not begun or had ended before this agent began${runtimes}`,
        });
      }
    }
    return found.slice(0, MAX_TOLD);
  }
}
