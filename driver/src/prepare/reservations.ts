import { refreshConsumers, type RecoveryParts } from "./recovery.ts";

/** Reads reservations again that the agent does not know, each claim once at a time: the kubelet tries a refused container again and again. */
export class Reservations {
  readonly #parts: RecoveryParts;
  readonly #underWay = new Set<string>();

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
  }

  readAgain(uid: string, signal: AbortSignal): void {
    if (this.#underWay.has(uid)) return;
    this.#underWay.add(uid);
    refreshConsumers(this.#parts, uid, signal)
      .catch((cause: unknown) =>
        this.#parts.log.warn("a claim's reservation could not be read again", {
          claimUID: uid,
          cause: (cause as Error).message,
        }),
      )
      .finally(() => this.#underWay.delete(uid));
  }
}
