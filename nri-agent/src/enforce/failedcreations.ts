import type { Finding } from "@dracpu/shared-proto/codes/code.ts";
import { CODES } from "@dracpu/shared-proto/codes/codes.ts";
import type { ContainerRef } from "../masks/container.ts";
import type { Clock } from "./ports.ts";

/** One failure is anybody's: an image, a mount. A container that fails like this again and again is told of. */
const TELLING = 3;
const FORGOTTEN_MS = 300_000;
const MAX_KEPT = 256;

interface Failing {
  count: number;
  readonly ref: ContainerRef;
  forget: () => void;
}

/**
 * Containers whose creation this agent has answered and that nevertheless were not made: so it looks from here when another NRI plugin sets cpusets too
 * (NRI refuses the second), and the runtime tells no plugin why.
 */
export class FailedCreations {
  readonly #clock: Clock;
  /** Key by container id, of those that are being made. */
  readonly #making = new Map<string, string>();
  readonly #failing = new Map<string, Failing>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  answered(ref: ContainerRef): void {
    if (this.#making.size >= MAX_KEPT) this.#making.clear();
    this.#making.set(ref.id, keyOf(ref));
  }

  made(ref: ContainerRef): void {
    if (!this.#making.delete(ref.id)) return;
    this.#forget(keyOf(ref));
  }

  /** @returns the sentence, where it is to be told now. */
  ended(ref: ContainerRef): string {
    const key = this.#making.get(ref.id);
    if (key === undefined) return "";
    this.#making.delete(ref.id);
    if (this.#failing.size >= MAX_KEPT && !this.#failing.has(key)) return "";
    const failing = this.#failing.get(key) ?? { count: 0, ref, forget: () => {} };
    failing.count += 1;
    failing.forget();
    failing.forget = this.#clock.later(FORGOTTEN_MS, () => this.#failing.delete(key));
    this.#failing.set(key, failing);
    return failing.count === TELLING ? sentence(failing) : "";
  }

  findings(): Finding[] {
    return [...this.#failing.values()]
      .filter((one) => one.count >= TELLING)
      .slice(0, 5)
      .map((one) => ({ code: CODES.creationFails, text: sentence(one) }));
  }

  #forget(key: string): void {
    this.#failing.get(key)?.forget();
    this.#failing.delete(key);
  }
}

function keyOf({ podUid, name }: ContainerRef): string {
  return `${podUid}/${name}`;
}

function sentence({ ref, count }: Failing): string {
  return `The runtime could not create container ${ref.name} of pod ${ref.podNamespace}/${ref.podName}, ${count} times after this agent had answered; the pod's Events say why. Where they name another NRI plugin, both set cpusets`;
}
