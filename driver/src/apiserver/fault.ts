import type { IncomingMessage } from "node:http";

export interface ApiRequest {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly signal: AbortSignal;
}

/** An answer of the API server that is no success, or none. `reason` and `details` are those of its Status object. */
export class ApiFault extends Error {
  override readonly name = "ApiFault";
  /** HTTP status; 0 where there was no usable answer. */
  readonly code: number;
  readonly reason: string;
  readonly retryAfterMs: number;
  /** Resource and name that the server speaks of, such as `resourceclaims` and `a`. */
  readonly details: { readonly kind: string; readonly name: string };
  constructor(
    code: number,
    reason: string,
    message: string,
    more: ErrorOptions & { retryAfterMs?: number; details?: { kind: string; name: string } } = {},
  ) {
    super(message, more);
    this.code = code;
    this.reason = reason;
    this.retryAfterMs = more.retryAfterMs ?? 0;
    this.details = more.details ?? { kind: "", name: "" };
  }

  /** Worth trying again later: no answer, too many requests, or the server's own trouble. */
  get isTransient(): boolean {
    if (this.code === 500 && this.message.includes("field not declared in schema")) return false;
    return this.code === 0 || this.code === 429 || this.code >= 500;
  }

  /**
   * The server itself says that there is no such object. A proxy's 404, a server without the API group and a wrong path say nothing about it
   * (apimachinery v0.36.3, api/errors, NewNotFound).
   */
  isGone(resource: string, name: string): boolean {
    return (
      this.code === 404 && this.reason === "NotFound" && this.details.kind === resource && this.details.name === name
    );
  }
}

export function noAnswer(server: string, request: ApiRequest, cause: unknown): ApiFault {
  const why = (cause as NodeJS.ErrnoException).code ?? (cause as Error).message;
  const reason = request.signal.aborted ? "Aborted" : "NoAnswer";
  return new ApiFault(0, reason, `the API server (${server}) does not answer (${why})`, { cause });
}

/** An answer that HTTP calls a success and that makes no sense. It may be another one next time. */
export function badBody(request: ApiRequest, why: string, cause?: unknown): ApiFault {
  return new ApiFault(
    0,
    "BadBody",
    `the API server cannot be understood at ${request.method} ${request.path}: ${why}`,
    {
      cause,
    },
  );
}

export function faultOf(server: string, request: ApiRequest, response: IncomingMessage, text: string): ApiFault {
  const code = response.statusCode ?? 0;
  let message = text.slice(0, 500);
  let reason = "";
  let details = { kind: "", name: "" };
  try {
    const found = JSON.parse(text) as {
      message?: unknown;
      reason?: unknown;
      details?: { kind?: unknown; name?: unknown };
    };
    if (typeof found.message === "string") message = found.message;
    if (typeof found.reason === "string") reason = found.reason;
    const { kind, name } = found.details ?? {};
    if (typeof kind === "string" && typeof name === "string") details = { kind, name };
  } catch {
    // Proxies answer in plain text, which is shown as it is.
  }
  const seconds = Number(response.headers["retry-after"] ?? 0);
  const said = `the API server (${server}) answers ${code} to ${request.method} ${request.path}: ${message}`;
  return new ApiFault(code, reason, code === 403 ? `${said}; ${rightOf(request)}` : said, {
    retryAfterMs: Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : 0,
    details,
  });
}

/** The right that is missing, for whoever writes the ClusterRole. */
function rightOf({ method, path, query }: ApiRequest): string {
  const m = /^\/(?:api|apis\/([^/]+))\/[^/]+\/(?:namespaces\/[^/]+\/)?([^/]+)(\/[^/]+)?$/.exec(path);
  const [, group = "", resource = path, name] = m ?? [];
  const reading = query?.["watch"] !== undefined ? "watch" : name === undefined ? "list" : "get";
  const verb = { GET: reading, POST: "create", PATCH: "patch", DELETE: "delete" }[method];
  return `this driver's account lacks the right "${verb}" on "${resource}" in API group "${group}"`;
}
