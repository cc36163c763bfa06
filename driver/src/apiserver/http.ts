import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { credentialsOf, type Credentials, type Pass } from "./credentials.ts";
import { ApiFault, badBody, faultOf, noAnswer, type ApiRequest } from "./fault.ts";

const MAX_BODY = 16 << 20;
const MAX_LINE = 4 << 20;

/**
 * HTTP to the API server over Node's own transport, with connections that are kept, and without a client-side rate limit, which a burst of pods would
 * feel.
 */
export class ApiHttp {
  readonly #credentials: Credentials;
  readonly #base: URL;
  readonly #url: string;
  #agent: HttpAgent | undefined;
  #pass: Pass | undefined;

  /** @param kubeconfig a file; "" for in-cluster configuration. @throws Error with a sentence. */
  constructor(kubeconfig: string) {
    this.#credentials = credentialsOf(kubeconfig);
    this.#base = this.#credentials.server;
    this.#url = this.#base.origin;
  }

  /** @returns the parsed body. @throws ApiFault */
  async json<T>(request: ApiRequest): Promise<T> {
    const response = await this.#send(request);
    const text = await readAll(response, request.signal);
    if ((response.statusCode ?? 0) >= 300) throw faultOf(this.#url, request, response, text);
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw badBody(request, "the answer is no JSON", cause);
    }
  }

  /** Objects of a watch, one a line, until the server ends it. @throws ApiFault */
  async *lines(request: ApiRequest): AsyncGenerator {
    const response = await this.#send(request);
    if ((response.statusCode ?? 0) >= 300)
      throw faultOf(this.#url, request, response, await readAll(response, request.signal));
    let rest = "";
    try {
      for await (const chunk of response.setEncoding("utf8")) {
        rest += chunk as string;
        if (rest.length > MAX_LINE) throw badBody(request, `an event of the watch is longer than ${MAX_LINE} bytes`);
        for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
          const line = rest.slice(0, end);
          rest = rest.slice(end + 1);
          if (line !== "") yield parsed(request, line);
        }
      }
    } catch (cause) {
      throw cause instanceof ApiFault ? cause : noAnswer(this.#url, request, cause);
    } finally {
      response.destroy();
    }
  }

  async #send(request: ApiRequest): Promise<IncomingMessage> {
    const options: RequestOptions = {
      method: request.method,
      hostname: this.#base.hostname.replace(/^\[|\]$/g, ""),
      port: this.#base.port === "" ? (this.#base.protocol === "https:" ? 443 : 80) : Number(this.#base.port),
      path: `${this.#base.pathname.replace(/\/$/, "")}${request.path}${queryOf(request)}`,
      headers: { accept: "application/json", "user-agent": "dra-driver-cpu" },
      signal: request.signal,
    };
    const body = request.body === undefined ? undefined : JSON.stringify(request.body);
    const { token, ...tls } = this.#read();
    const headers = { ...(options.headers as Record<string, string>) };
    if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    if (body !== undefined) headers["content-type"] = request.contentType ?? "application/json";
    options.headers = headers;
    options.agent = this.#agentFor(tls);
    return new Promise((resolve, reject) => {
      const send = this.#base.protocol === "https:" ? httpsRequest : httpRequest;
      const fail = (cause: unknown): void => reject(noAnswer(this.#url, request, cause));
      try {
        const outgoing = send(options, resolve);
        outgoing.on("error", fail);
        outgoing.end(body);
      } catch (cause) {
        // Node refuses some headers and paths before anything is sent, such as a token with a line break.
        fail(cause);
      }
    });
  }

  #read(): Pass {
    // Without TLS nobody is told a token.
    if (this.#base.protocol !== "https:") return {};
    try {
      return this.#credentials.pass();
    } catch (cause) {
      throw new ApiFault(0, "Credentials", (cause as Error).message, { cause });
    }
  }

  /** A rotated certificate authority or client certificate gets new connections; nothing else does. */
  #agentFor(tls: Pass): HttpAgent {
    const keys = ["ca", "cert", "key", "servername", "rejectUnauthorized"] as const;
    if (this.#agent === undefined || keys.some((key) => this.#pass?.[key] !== tls[key])) {
      const keep = { keepAlive: true, maxSockets: 32, keepAliveMsecs: 30_000 };
      this.#pass = tls;
      this.#agent = this.#base.protocol === "https:" ? new HttpsAgent({ ...keep, ...tls }) : new HttpAgent(keep);
    }
    return this.#agent;
  }
}

function queryOf({ query }: ApiRequest): string {
  return query === undefined ? "" : `?${new URLSearchParams(query).toString()}`;
}

async function readAll(response: IncomingMessage, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of response) {
      length += (chunk as Buffer).length;
      if (length > MAX_BODY) throw new Error(`the answer is longer than ${MAX_BODY} bytes`);
      chunks.push(chunk as Buffer);
    }
  } catch (cause) {
    const reason = signal.aborted ? "Aborted" : "NoAnswer";
    throw new ApiFault(0, reason, `the API server's answer broke off: ${(cause as Error).message}`, { cause });
  }
  return Buffer.concat(chunks).toString("utf8");
}

function parsed(request: ApiRequest, line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch (cause) {
    throw badBody(request, "an event of the watch is no JSON", cause);
  }
}
