import { Agent as HttpAgent, request as httpRequest, type IncomingMessage, type RequestOptions } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { KubeConfig } from "@kubernetes/client-node";
import { ApiFault, badBody, faultOf, noAnswer, type ApiRequest } from "./fault.ts";

const MAX_BODY = 16 << 20;
const MAX_LINE = 4 << 20;

/** A request, and the status or fault that its answer began with. */
export interface ApiCall {
  readonly [field: string]: unknown;
  readonly method: string;
  readonly path: string;
  readonly status: number | string;
  readonly seconds: number;
}

/**
 * HTTP to the API server. Addresses and credentials are client-node's (kubeconfig or in-cluster, tokens read anew); the transport is
 * Node's own with connections that are kept, because client-node opens a TLS connection per request, and drops fields its
 * models do not know. There is no client-side rate limit: a burst of pods would feel it.
 */
export class ApiHttp {
  readonly #config: KubeConfig;
  readonly #base: URL;
  readonly #url: string;
  readonly #onCall: ((call: ApiCall) => void) | undefined;
  #agent: HttpAgent | undefined;
  #agentKey = "";

  /** @param onCall told of each request. @param kubeconfig a file, "" for in-cluster configuration, or one that was read already. @throws Error with a sentence. */
  constructor(kubeconfig: string | KubeConfig, onCall?: (call: ApiCall) => void) {
    this.#onCall = onCall;
    this.#config = typeof kubeconfig === "string" ? read(kubeconfig) : kubeconfig;
    const server = this.#config.getCurrentCluster()?.server;
    if (server === undefined || !URL.canParse(server)) {
      throw new Error(
        kubeconfig === ""
          ? "Cannot find the API server: this process runs in no pod; name a file with --kubeconfig"
          : `Cannot use the kubeconfig${typeof kubeconfig === "string" ? ` ${kubeconfig}` : ""}: it names no cluster`,
      );
    }
    this.#base = new URL(server);
    this.#url = this.#base.origin;
  }

  /** @returns the body. @throws ApiFault */
  async text(request: ApiRequest): Promise<string> {
    const response = await this.#send(request);
    const text = await readAll(response, request.signal);
    if ((response.statusCode ?? 0) >= 300) throw faultOf(this.#url, request, response, text);
    return text;
  }

  /** @returns the parsed body. @throws ApiFault */
  async json<T>(request: ApiRequest): Promise<T> {
    const text = await this.text(request);
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
    if (this.#base.protocol === "https:") await this.#authorize(options);
    const headers = { ...(options.headers as Record<string, string>) };
    if (body !== undefined) {
      headers["content-type"] = request.contentType ?? "application/json";
      // Node tells the length of a DELETE's body to nobody, and the server takes it for the next request.
      headers["content-length"] = String(Buffer.byteLength(body));
    }
    options.headers = headers;
    options.agent = this.#agentFor(options);
    return new Promise((resolve, reject) => {
      const send = this.#base.protocol === "https:" ? httpsRequest : httpRequest;
      const began = performance.now();
      const done = (status: number | string): void => {
        const { method, path } = request;
        this.#onCall?.({ method, path, status, seconds: (performance.now() - began) / 1000 });
      };
      const fail = (cause: unknown): void => {
        done((cause as Error).message);
        reject(noAnswer(this.#url, request, cause));
      };
      try {
        const outgoing = send(options, (response) => {
          done(response.statusCode ?? 0);
          resolve(response);
        });
        outgoing.on("error", fail);
        outgoing.end(body);
      } catch (cause) {
        // Node refuses some headers and paths before anything is sent, such as a token with a line break.
        fail(cause);
      }
    });
  }

  async #authorize(options: RequestOptions): Promise<void> {
    try {
      await this.#config.applyToHTTPSOptions(options);
    } catch (cause) {
      throw new ApiFault(0, "Credentials", `Cannot get credentials for the API server: ${(cause as Error).message}`, {
        cause,
      });
    }
  }

  /** A rotated certificate authority or client certificate gets new connections; nothing else does. */
  #agentFor(options: RequestOptions): HttpAgent {
    const { ca, cert, key, rejectUnauthorized, servername } = options as Record<string, unknown>;
    const parts = [ca, cert, key, rejectUnauthorized, servername].map(String).join("|");
    if (this.#agent === undefined || parts !== this.#agentKey) {
      this.#agentKey = parts;
      const keep = { keepAlive: true, maxSockets: 32, keepAliveMsecs: 30_000 };
      this.#agent =
        this.#base.protocol === "https:"
          ? new HttpsAgent({ ...keep, ...({ ca, cert, key, rejectUnauthorized } as object) })
          : new HttpAgent(keep);
    }
    return this.#agent;
  }
}

function read(kubeconfig: string): KubeConfig {
  const config = new KubeConfig();
  try {
    if (kubeconfig === "") config.loadFromCluster();
    else config.loadFromFile(kubeconfig);
    return config;
  } catch (cause) {
    throw new Error(
      `Cannot use the kubeconfig ${kubeconfig === "" ? "of the pod" : kubeconfig}: ${(cause as Error).message}`,
      { cause },
    );
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
