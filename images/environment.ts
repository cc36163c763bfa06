/**
 * Of every process in the images, `kubectl exec` included. Small heaps: V8 otherwise lets them grow and gives nothing back. The compile cache is only
 * valid with the V8 flags it was made with. One thread for compilers and collectors: Node has four of them, which on a busy node all want a CPU at once when code
 * becomes hot, and a hook or a Prepare waits behind them.
 */
export const ENVIRONMENT = {
  NODE_OPTIONS: "--max-semi-space-size=1 --max-old-space-size=128 --v8-pool-size=1",
  NODE_COMPILE_CACHE: "/opt/dracpu/cache",
  NODE_COMPILE_CACHE_PORTABLE: "1",
  // One arena is enough where one thread allocates; saves 2 MB.
  MALLOC_ARENA_MAX: "1",
} as const;

/** Node with the images' small heaps, and a program. */
export function shipped(program: string): string[] {
  return [process.execPath, ...ENVIRONMENT.NODE_OPTIONS.split(" "), program];
}
