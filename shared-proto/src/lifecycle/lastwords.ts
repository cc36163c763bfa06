/**
 * What a command that fails says of it.
 *
 * @param known names of faults that their message tells all of; of any other the stack is wanted. By name, so that nobody loads classes for it.
 */
export function lastWords(cause: unknown, known: readonly string[]): string {
  if (!(cause instanceof Error)) return String(cause);
  return known.includes(cause.name) ? cause.message : (cause.stack ?? cause.message);
}
