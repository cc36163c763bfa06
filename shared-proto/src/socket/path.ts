/** `sun_path` has 108 bytes with its terminating zero (unix(7)); Node cuts a longer path silently. */
export const MAX_SOCKET_PATH = 107;

/**
 * @param flag that the path comes from, where it is no path of its own.
 * @param besides bytes that another name in its directory needs more, where that is so.
 * @throws Error with a sentence naming the path, its length and the limit.
 */
export function checkSocketPath(path: string, flag = "", besides = 0): void {
  const why = tooLong(path, flag, MAX_SOCKET_PATH - Math.max(0, besides));
  if (why !== undefined) throw new Error(why);
}

/** @returns a sentence for what can be no path of a socket. */
export function noSocketPath(path: string): string | undefined {
  return noAbsolutePath(path) ?? tooLong(path, "");
}

/** @returns a sentence for what is no absolute path. */
export function noAbsolutePath(path: string): string | undefined {
  return path.startsWith("/") ? undefined : `${JSON.stringify(path)} is no absolute path; it has to begin with a /`;
}

function tooLong(path: string, flag: string, limit = MAX_SOCKET_PATH): string | undefined {
  const bytes = Buffer.byteLength(path);
  if (bytes <= limit) return undefined;
  return `Cannot use the Unix socket path ${path}: it has ${bytes} bytes, at most ${limit} are possible; use a shorter directory${flag === "" ? "" : ` (${flag})`}`;
}
