/**
 * The command line that a pod has: `run --config=FILE` and nothing else. It needs no reader of command lines, which would stay in memory, 3 MB of it, as long as the
 * process lives.
 */
export function plainRun(argv: readonly string[]): { readonly config: string } | undefined {
  const [command, flag = "", ...rest] = argv;
  const config = /^--config=(.+)$/.exec(flag)?.[1];
  return command === "run" && rest.length === 0 && config !== undefined ? { config } : undefined;
}
