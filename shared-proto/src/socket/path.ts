/** `sun_path` has 108 bytes with its terminating zero (unix(7)); Node cuts a longer path silently. */
export const MAX_SOCKET_PATH = 107;

/** @throws Error with a sentence naming the path, its length and the limit. */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_SOCKET_PATH) return;
  throw new Error(
    `Cannot use the Unix socket path ${path}: it has ${bytes} bytes, at most ${MAX_SOCKET_PATH} are possible; use a shorter directory`,
  );
}
