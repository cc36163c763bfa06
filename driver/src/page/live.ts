import type { ServerResponse } from "node:http";
import type { Picture } from "../picture/picture.ts";
import type { PageSources } from "./sources.ts";

/** How often the node is looked at while somebody watches. */
const LOOK_MS = 500;
/** After something has happened, it is looked at this soon. */
const SOON_MS = 50;
const MAX_WATCHERS = 16;
/** A watcher that does not read this much is let go; its browser comes back. */
const MAX_WAITING_BYTES = 4 << 20;
/** Entries that a new watcher is told of. */
const FIRST_ENTRIES = 300;
/** Fields that change with every look and mean nothing by themselves. */
const VOLATILE: ReadonlySet<string> = new Set(["asOfMs", "readMs"]);

interface Watcher {
  readonly response: ServerResponse;
  seq: number;
  /** The picture that it has, without what is volatile. */
  has: string;
}

/**
 * Server-sent events: a `picture` whenever something in it changed, `entries` as they come, and a `tick` otherwise, so that a watcher can tell an
 * unchanged node from a dead connection. Nobody looks at the node while nobody watches.
 */
export class LiveFeed {
  readonly #sources: PageSources;
  readonly #watchers = new Set<Watcher>();
  #timer: NodeJS.Timeout | undefined;
  #looking = false;
  readonly #unsubscribe: () => void;

  constructor(sources: PageSources) {
    this.#sources = sources;
    this.#unsubscribe = sources.subscribe(() => this.#soon(SOON_MS));
  }

  /** @returns false where too many watch already. */
  add(response: ServerResponse): boolean {
    if (this.#watchers.size >= MAX_WATCHERS) return false;
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    response.write("retry: 1000\n\n");
    const watcher = { response, seq: -1, has: "" };
    this.#watchers.add(watcher);
    response.on("close", () => this.#watchers.delete(watcher));
    this.#soon(0);
    return true;
  }

  close(): void {
    this.#unsubscribe();
    clearTimeout(this.#timer);
    for (const { response } of this.#watchers) response.end();
    this.#watchers.clear();
  }

  #soon(ms: number): void {
    if (this.#watchers.size === 0 || this.#looking) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#look(), ms);
  }

  async #look(): Promise<void> {
    this.#looking = true;
    try {
      const picture = await this.#sources.picture();
      const settled = JSON.stringify(picture, (key, value: unknown) => (VOLATILE.has(key) ? undefined : value));
      let whole: string | undefined;
      for (const watcher of this.#watchers) {
        this.#tellEntries(watcher);
        if (watcher.has === settled) this.#send(watcher, "tick", JSON.stringify(agesOf(picture)));
        else {
          whole ??= JSON.stringify(picture);
          if (this.#send(watcher, "picture", whole)) watcher.has = settled;
        }
      }
    } catch (cause) {
      const why = JSON.stringify({ why: (cause as Error).message });
      for (const watcher of this.#watchers) this.#send(watcher, "trouble", why);
    } finally {
      this.#looking = false;
      this.#soon(LOOK_MS);
    }
  }

  #tellEntries(watcher: Watcher): void {
    const isFirst = watcher.seq < 0;
    const entries = this.#sources.entries(Math.max(0, watcher.seq)).slice(-FIRST_ENTRIES);
    if (entries.length === 0 && !isFirst) return;
    watcher.seq = entries.at(-1)?.seq ?? 0;
    this.#send(watcher, "entries", JSON.stringify({ isFirst, entries }));
  }

  #send(watcher: Watcher, event: string, data: string): boolean {
    const { response } = watcher;
    if (response.writableLength > MAX_WAITING_BYTES) {
      this.#watchers.delete(watcher);
      response.destroy();
      return false;
    }
    // JSON has no line breaks of its own, so one line is one event.
    response.write(`event: ${event}\ndata: ${data}\n\n`);
    return true;
  }
}

function agesOf(picture: Picture): { readonly asOfMs: number; readonly agentAsOfMs: number } {
  return { asOfMs: picture.asOfMs, agentAsOfMs: picture.agent.asOfMs };
}
