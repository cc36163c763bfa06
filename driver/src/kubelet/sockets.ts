import { chmodSync, closeSync, existsSync, fstatSync, lstatSync, openSync, renameSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";

/** A server of the kubelet's, on a socket that is ours as long as nobody takes it away. */
export interface Listening {
  readonly server: Server;
  readonly path: string;
  readonly inode: number;
  /** Open descriptor of its directory: tells whether that was deleted, whatever has been made in its place. */
  readonly directory: number;
}

/**
 * Listens on `path`, whose directory is there. The socket is made under a hidden name and renamed, so that the kubelet sees one event and an old instance cannot take
 * ours away.
 * @throws Error with a sentence.
 */
export async function listenOn(path: string, serve: (server: Server) => void): Promise<Listening> {
  const server = new Server({ "grpc.max_receive_message_length": 4 << 20 });
  try {
    serve(server);
    const temporary = hidden(path);
    if (existsSync(temporary)) unlinkSync(temporary);
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix:${temporary}`, ServerCredentials.createInsecure(), (cause) => {
        if (cause === null) resolve();
        else reject(new Error(`Cannot listen on ${path}: ${cause.message}`, { cause }));
      });
    });
    chmodSync(temporary, 0o600);
    renameSync(temporary, path);
    return { server, path, inode: lstatSync(path).ino, directory: openSync(dirname(path), "r") };
  } catch (cause) {
    // grpc-js keeps every server until it is told to end.
    server.forceShutdown();
    throw cause;
  }
}

export function isThere({ path, inode }: Listening): boolean {
  try {
    return lstatSync(path).ino === inode;
  } catch {
    return false;
  }
}

/** Whoever watched that directory sees nothing any more. */
export function isDirectoryGone({ directory }: Listening): boolean {
  return fstatSync(directory).nlink === 0;
}

/** Takes the socket's file away, where it is still this one. The server goes on. */
export function unlink(listening: Listening): void {
  if (isThere(listening)) unlinkSync(listening.path);
  closeSync(listening.directory);
}

/** The name that a socket is made under. */
export function hidden(path: string): string {
  const at = path.lastIndexOf("/") + 1;
  return `${path.slice(0, at)}.${path.slice(at)}.new`;
}
