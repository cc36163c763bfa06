import { Code, ConnectError, createClient, type Client } from "@connectrpc/connect";
import { ERROR_CLAIMS, ERROR_CODE } from "@dracpu/shared-proto/contract/names.ts";
import { unixTransport } from "@dracpu/shared-proto/client/call.ts";
import { Control } from "@dracpu/shared-proto/gen/dracpu/agent/v1/control_pb.ts";
import type { WatchEventsResponse } from "@dracpu/shared-proto/gen/dracpu/agent/v1/event_pb.ts";
import { AgentFault, type AgentFaultCode, type AgentPort } from "../prepare/ports.ts";

/** The agent sends a heartbeat every 5 s; HTTP/1.1 does not notice a peer that hangs. */
const SILENCE_MS = 15_000;

export type CallObserver = (method: string, result: "success" | "error", seconds: number) => void;

/** The agent's Control service on its Unix socket. */
export class AgentClient implements AgentPort {
  readonly #client: Client<typeof Control>;
  readonly #path: string;
  readonly #onCall: CallObserver;

  /** @param onCall told of each call, with its time in seconds. */
  constructor(socketPath: string, onCall: CallObserver = () => {}) {
    this.#path = socketPath;
    this.#onCall = onCall;
    this.#client = createClient(Control, unixTransport(socketPath));
  }

  hello: AgentPort["hello"] = (request, signal) =>
    this.#call("hello", () => this.#client.hello(request, { signal }), signal);
  replace: AgentPort["replace"] = (request, signal) =>
    this.#call("replace", () => this.#client.replace(request, { signal }), signal);
  apply: AgentPort["apply"] = (request, signal) =>
    this.#call("apply", () => this.#client.apply(request, { signal }), signal);
  await: AgentPort["await"] = (request, signal) =>
    this.#call("await", () => this.#client.await(request, { signal }), signal);

  async *watchEvents(afterSeq: bigint, signal: AbortSignal): AsyncIterable<WatchEventsResponse> {
    const watchdog = new AbortController();
    const bounded = AbortSignal.any([signal, watchdog.signal]);
    let timer = setTimeout(() => watchdog.abort(), SILENCE_MS);
    try {
      for await (const message of this.#client.watchEvents({ afterSeq }, { signal: bounded })) {
        clearTimeout(timer);
        timer = setTimeout(() => watchdog.abort(), SILENCE_MS);
        yield message;
      }
    } catch (cause) {
      if (watchdog.signal.aborted)
        throw new AgentFault("away", `the NRI agent said nothing for ${SILENCE_MS / 1000} s`, { cause });
      throw this.#fault(cause, signal);
    } finally {
      clearTimeout(timer);
    }
  }

  async #call<T>(method: string, run: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const began = performance.now();
    const done = (result: "success" | "error"): void =>
      this.#onCall(method, result, (performance.now() - began) / 1000);
    try {
      const answer = await run();
      done("success");
      return answer;
    } catch (cause) {
      done("error");
      throw this.#fault(cause, signal);
    }
  }

  #fault(cause: unknown, signal: AbortSignal): AgentFault {
    if (cause instanceof AgentFault) return cause;
    const error = ConnectError.from(cause);
    const [code, why] = this.#meaning(error, signal);
    const claims = (error.metadata.get(ERROR_CLAIMS) ?? "").split(",").filter((uid) => uid !== "");
    return new AgentFault(code, why, { cause, claims });
  }

  #meaning(error: ConnectError, signal: AbortSignal): [AgentFaultCode, string] {
    if (signal.aborted) return ["timeout", "the NRI agent did not answer in time"];
    switch (error.code) {
      case Code.FailedPrecondition:
        return [error.metadata.get(ERROR_CODE) === "protocol" ? "protocol" : "stale", error.rawMessage];
      case Code.InvalidArgument:
        return ["refused", `the NRI agent refuses: ${error.rawMessage}`];
      case Code.DeadlineExceeded:
        return ["timeout", "the NRI agent did not answer in time"];
      default: {
        const errno = (error.cause as NodeJS.ErrnoException | undefined)?.code;
        if (errno === "ENOENT" || errno === "ECONNREFUSED")
          return ["away", `the NRI agent is not running (${this.#path}: ${errno})`];
        return ["away", `the NRI agent is away: ${error.rawMessage}`];
      }
    }
  }
}
