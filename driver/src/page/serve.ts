import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { listenOn } from "@dracpu/shared-proto/observe/httpserver.ts";
import { PAGE_CSS, PAGE_HTML, PAGE_JS } from "../gen/page.ts";
import { LiveFeed } from "./live.ts";
import type { PageSources } from "./sources.ts";

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
} as const;
/** Whoever forwards the port says one of these; a page of the Internet whose name leads here (DNS rebinding) does not. */
const HOSTS: readonly string[] = ["localhost", "127.0.0.1", "[::1]"];
const ICON =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect x="1" y="1" width="14" height="14" rx="2" fill="#1f6feb"/><path d="M4 4h3v3H4zM9 4h3v3H9zM4 9h3v3H4z" fill="#fff"/></svg>';

const FILES: Readonly<Record<string, { readonly type: string; readonly body: string }>> = {
  "/": { type: "text/html; charset=utf-8", body: PAGE_HTML },
  "/page.js": { type: "text/javascript; charset=utf-8", body: PAGE_JS },
  "/page.css": { type: "text/css; charset=utf-8", body: PAGE_CSS },
  "/icon.svg": { type: "image/svg+xml", body: ICON },
};

/**
 * Serves the page: read-only, GET only, for whoever comes by the loopback interface.
 *
 * @returns ends it.
 * @throws Error with a sentence where it cannot listen.
 */
export async function servePage(address: string, sources: PageSources): Promise<() => Promise<void>> {
  const feed = new LiveFeed(sources);
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000 }, (request, response) => {
    answer(request, response, sources, feed).catch((cause: unknown) => {
      if (!response.headersSent) plain(response, 500, (cause as Error).message);
      response.end();
    });
    request.resume();
  });
  server.maxConnections = 64;
  await listenOn(server, address, "the page", "--page-address");
  return () =>
    new Promise((resolve) => {
      feed.close();
      server.close(() => resolve());
      server.closeAllConnections();
    });
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  sources: PageSources,
  feed: LiveFeed,
): Promise<void> {
  for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
  const host = (request.headers.host ?? "").replace(/:\d+$/, "");
  if (!HOSTS.includes(host)) return plain(response, 403, "This page answers to localhost alone");
  if (request.method !== "GET" && request.method !== "HEAD") return plain(response, 405, "Only GET");
  const url = new URL(request.url ?? "/", "http://localhost");
  const file = FILES[url.pathname];
  if (file !== undefined) {
    response.writeHead(200, { "content-type": file.type }).end(file.body);
    return;
  }
  switch (url.pathname) {
    case "/picture":
      return json(response, await sources.picture());
    case "/entries":
      return json(response, { entries: sources.entries(Number(url.searchParams.get("after") ?? 0)) });
    case "/live":
      if (!feed.add(response)) plain(response, 503, "Too many watch already");
      return;
    default:
      plain(response, 404, "There is nothing here");
  }
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

function plain(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8" }).end(`${text}\n`);
}
