import type { IncomingMessage } from "node:http";
import { connect } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";

/** Data and errors of the one port; each begins with the port's number. */
const DATA = 0;
const ERRORS = 1;

/** The API server's side of a port-forward over a WebSocket: channels as `v4.channel.k8s.io` numbers them. */
export class FakePortForward {
  /** Where connections go; `undefined`: the pod does not listen. */
  target: ((pod: string, port: number) => number | undefined) | undefined;
  readonly #sockets = new WebSocketServer({ noServer: true, handleProtocols: () => "v4.channel.k8s.io" });

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const url = new URL(request.url ?? "/", "http://fake");
    const m = /^\/api\/v1\/namespaces\/[^/]+\/pods\/([^/]+)\/portforward$/.exec(url.pathname);
    const port = Number(url.searchParams.get("ports"));
    if (m === null) {
      socket.destroy();
      return;
    }
    const real = this.target?.(m[1] ?? "", port);
    this.#sockets.handleUpgrade(request, socket, head, (web) => {
      const first = Buffer.alloc(2);
      first.writeUInt16LE(port);
      const send = (channel: number, data: Buffer): void => web.send(Buffer.concat([Buffer.from([channel]), data]));
      for (const channel of [DATA, ERRORS]) send(channel, first);
      if (real === undefined) {
        send(ERRORS, Buffer.from(`an error occurred forwarding ${port}: connection refused`));
        return;
      }
      const inner = connect(real, "127.0.0.1");
      inner.on("data", (chunk: Buffer) => send(DATA, chunk));
      inner.on("close", () => web.close());
      inner.on("error", () => web.close());
      web.on("message", (message: Buffer) => {
        if (message[0] === DATA) inner.write(message.subarray(1));
      });
      web.on("close", () => inner.destroy());
    });
  }
}
