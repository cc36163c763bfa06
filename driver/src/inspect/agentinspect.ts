import { ConnectError, createClient, type Client } from "@connectrpc/connect";
import { unixTransport } from "@dracpu/shared-proto/client/call.ts";
import type { Event } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import { Inspect, type GetVersionResponse } from "@dracpu/shared-proto/gen/dracpu/agent/v1/inspect_pb.ts";
import type { State } from "@dracpu/shared-proto/gen/dracpu/agent/v1/state_pb.ts";

const CALL_MS = 2000;

export type Looked = { readonly state: State; readonly why: "" } | { readonly state: undefined; readonly why: string };

/** The agent's Inspect service on its Unix socket. */
export class AgentInspect {
  readonly #client: Client<typeof Inspect>;
  readonly #path: string;

  constructor(socketPath: string) {
    this.#path = socketPath;
    this.#client = createClient(Inspect, unixTransport(socketPath));
  }

  /** Its release, or a sentence why it tells none. */
  async version(): Promise<
    { readonly found: GetVersionResponse; readonly why: "" } | { readonly found: undefined; readonly why: string }
  > {
    try {
      return { found: await this.#client.getVersion({}, { timeoutMs: CALL_MS }), why: "" };
    } catch (cause) {
      return { found: undefined, why: this.#sentence(cause) };
    }
  }

  /** The whole state, or a sentence why there is none. */
  look(signal?: AbortSignal): Promise<Looked> {
    return this.#look(0, signal);
  }

  /** The state without most of the containers. */
  summary(signal: AbortSignal): Promise<Looked> {
    return this.#look(1, signal);
  }

  async #look(maxContainers: number, signal: AbortSignal | undefined): Promise<Looked> {
    try {
      const { state } = await this.#client.getState(
        { maxContainers },
        { timeoutMs: CALL_MS, ...(signal === undefined ? {} : { signal }) },
      );
      return state === undefined ? { state, why: "it gave no state" } : { state, why: "" };
    } catch (cause) {
      return { state: undefined, why: this.#sentence(cause) };
    }
  }

  /** Events that are kept, oldest first, and then, where `follow`, what comes. Ends when the agent goes. @throws Error with a sentence. */
  async *events(afterSeq: bigint, signal: AbortSignal): AsyncGenerator<Event | "quiet"> {
    try {
      for await (const { what } of this.#client.watchEvents({ afterSeq }, { signal })) {
        if (what.case === "event") yield what.value;
        else if (what.case === "heartbeat") yield "quiet";
      }
    } catch (cause) {
      if (!signal.aborted) throw new Error(this.#sentence(cause), { cause });
    }
  }

  #sentence(cause: unknown): string {
    const error = ConnectError.from(cause);
    const errno = (error.cause as NodeJS.ErrnoException | undefined)?.code;
    if (errno === "ENOENT" || errno === "ECONNREFUSED") return `nobody listens on ${this.#path} (${errno})`;
    if (errno === "EACCES") return `${this.#path} may not be opened by this user (EACCES); it is root's`;
    return error.rawMessage;
  }
}
