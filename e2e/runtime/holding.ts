import { OtherPlugin } from "../kit/nri/plugin.ts";

/**
 * An NRI plugin that takes its time with the creation of some containers. It is asked after the agent, and until it answers, the runtime
 * works on nothing else: neither on other containers nor on updates.
 */
export class Holding {
  readonly #plugin: OtherPlugin;
  readonly #held = new Map<string, { reached: () => void; over: Promise<void> }>();

  constructor(nriSocket: string) {
    this.#plugin = new OtherPlugin(nriSocket, "90", async ({ name }) => {
      const held = this.#held.get(name);
      held?.reached();
      await held?.over;
      return undefined;
    });
  }

  connect(): Promise<void> {
    return this.#plugin.connect();
  }

  close(): void {
    this.#plugin.close();
  }

  /** The creation of a container of that name. */
  hold(name: string): { readonly reached: Promise<void>; readonly letGo: () => void } {
    const reached = Promise.withResolvers<void>();
    const over = Promise.withResolvers<void>();
    this.#held.set(name, { reached: reached.resolve, over: over.promise });
    return { reached: reached.promise, letGo: over.resolve };
  }
}
