import { createServer, type Server } from "node:http";
import { coded, type Finding } from "../codes/code.ts";
import { holdsUp, unsuits } from "../codes/codes.ts";
import { addressOf, noAddress } from "./address.ts";

/** Answers of one path: status, type and text. */
export type Page = () =>
  | Promise<{ status: number; type: string; body: string }>
  | { status: number; type: string; body: string };

/**
 * A small HTTP server for probes and metrics: known paths, GET and HEAD only, bounded in time and connections.
 *
 * @param address `:8080`, `127.0.0.1:8080` or `[::1]:8080`.
 * @throws Error with a sentence where it cannot listen.
 */
export async function servePages(address: string, pages: Readonly<Record<string, Page>>): Promise<() => Promise<void>> {
  const server = createServer(
    { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 30_000 },
    (request, response) => {
      const page = pages[(request.url ?? "").split("?")[0] ?? ""];
      if (request.method !== "GET" && request.method !== "HEAD") response.writeHead(405).end();
      else if (page === undefined) response.writeHead(404).end();
      else {
        Promise.resolve()
          .then(page)
          .then(
            ({ status, type, body }) => response.writeHead(status, { "content-type": type }).end(body),
            (cause: unknown) => response.writeHead(500).end((cause as Error).message),
          );
      }
      request.resume();
    },
  );
  server.maxConnections = 64;
  await listenOn(server, address, "probes and metrics", "--bind-address");
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
}

/** @throws Error with a sentence that names the flag. */
export function listenOn(server: Server, address: string, what: string, flag: string): Promise<void> {
  const at = addressOf(address);
  if (at === undefined) throw new Error(`Cannot listen for ${what} (${flag}): ${noAddress(address) ?? "no address"}`);
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "the port is in use" : cause.message;
      reject(new Error(`Cannot listen on ${address} for ${what}: ${why}; choose another ${flag}`, { cause }));
    });
    server.listen(at.port, at.host === "" ? undefined : at.host, resolve);
  });
}

/**
 * What is found, one a line; "ok" where nothing is. 503 while something is wrong with the program or its node. 200 where there are only warnings or claims in trouble, and on an unsuitable node, where
 * waiting changes nothing: nobody's rollout hangs on it.
 */
export function readiness(findings: () => readonly Finding[]): Page {
  return () => {
    const found = findings();
    const isUnsuitable = found.some(unsuits);
    const isReady = isUnsuitable || !found.some(holdsUp);
    const lines = found.map((one) => (unsuits(one) ? `unsuitable: ${coded(one)}` : coded(one)));
    return {
      status: isReady ? 200 : 503,
      type: "text/plain",
      body: `${isReady && !isUnsuitable ? ["ok", ...lines].join("\n") : lines.join("\n")}\n`,
    };
  };
}

/** 200 where there is no problem, else 503 with the problems, one a line. */
export function probe(problems: () => readonly string[]): Page {
  return () => {
    const found = problems();
    return {
      status: found.length === 0 ? 200 : 503,
      type: "text/plain",
      body: found.length === 0 ? "ok\n" : `${found.join("\n")}\n`,
    };
  };
}
