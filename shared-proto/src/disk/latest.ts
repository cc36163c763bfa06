/**
 * Writes of one file by many callers: each is told when a content at least as new as its own is durable. Calls that come while a write is
 * under way share the next one, so that a burst costs two fsyncs and not one each.
 */
export class LatestWrite {
  readonly #write: () => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** @param write writes the newest content, as of when it is called. */
  constructor(write: () => Promise<void>) {
    this.#write = write;
  }

  save(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#write().finally(() => {
        this.#running = undefined;
      });
      return this.#running;
    }
    this.#next ??= this.#running
      .catch(() => {
        // Told to those who waited for that write; the next one is tried anew.
      })
      .then(() => {
        this.#next = undefined;
        return this.save();
      });
    return this.#next;
  }
}
