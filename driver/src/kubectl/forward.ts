import { createServer, type AddressInfo, type Socket } from "node:net";
import { PassThrough } from "node:stream";
import { PortForward, type KubeConfig } from "@kubernetes/client-node";
import type { PodView } from "./api.ts";

/**
 * A port of this machine that leads to a port of the driver's pod. Which pod is asked anew for each connection, so that the port survives
 * the pod. `close` ends it.
 *
 * @param port of this machine; 0 for any.
 */
export async function forward(
  config: KubeConfig,
  podOf: () => Promise<PodView>,
  podPort: number,
  port: number,
  onFault: (why: string) => void,
): Promise<{ readonly port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    carry(config, podOf, podPort, socket, onFault).catch((cause: unknown) => {
      onFault((cause as Error).message);
      socket.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function carry(
  config: KubeConfig,
  podOf: () => Promise<PodView>,
  podPort: number,
  socket: Socket,
  onFault: (why: string) => void,
): Promise<void> {
  const pod = await podOf();
  const faults = new PassThrough();
  faults.on("data", (chunk: Buffer) => {
    onFault(chunk.toString("utf8").trim());
    socket.destroy();
  });
  const { namespace, name } = pod.metadata;
  const web = await new PortForward(config).portForward(namespace, name, [podPort], socket, faults, socket);
  if (typeof web === "function") return;
  web.addEventListener("close", () => socket.destroy());
  socket.on("close", () => web.close());
}
