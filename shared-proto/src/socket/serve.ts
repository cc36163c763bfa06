import { createServer, type Server } from "node:http";
import { dirname } from "node:path";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { listenPrivate, privateDirectory } from "./listen.ts";

export interface ServeOptions {
  readonly path: string;
  readonly routes: (router: ConnectRouter) => void;
  /** Longest request body, in bytes. */
  readonly maxRequestBytes: number;
  readonly maxConnections: number;
  /** Ends streams and refuses calls with UNAVAILABLE. */
  readonly shutdownSignal: AbortSignal;
  /** A socket in a directory that others share is made with this mode; its directory is not made private. */
  readonly privateDir: boolean;
}

/**
 * Serves Connect over HTTP/1.1 on a Unix socket. Slow, half-open and over-long requests are ended by time and size; none of them can hold
 * up the process.
 *
 * @returns closes the server and removes the socket's file.
 */
export async function serveConnect(options: ServeOptions): Promise<() => Promise<void>> {
  if (options.privateDir) privateDirectory(dirname(options.path));
  const adapter = connectNodeAdapter({
    routes: options.routes,
    readMaxBytes: options.maxRequestBytes,
    acceptCompression: [],
    shutdownSignal: options.shutdownSignal,
  });
  const server: Server = createServer(
    { requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 60_000 },
    (request, response) => {
      // The adapter makes a URL of this header outside of any try: an odd one would end the process.
      request.headers.host = "localhost";
      adapter(request, response);
    },
  );
  server.maxConnections = options.maxConnections;
  const listening = await listenPrivate(server, options.path);
  return () =>
    new Promise((resolve) => {
      listening.unlink();
      server.close(() => resolve());
      server.closeAllConnections();
    });
}
