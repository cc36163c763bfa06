import { VERSION } from "../contract/version.ts";
import type { Program } from "../lifecycle/program.ts";
import { holdLock } from "./lock.ts";

/**
 * Waits until this is the only instance on its state directory, which it is until the program has stopped. Meanwhile the program's parts are loaded.
 *
 * @param who as its log and its successor call it, with the name of its command: `["driver", "dracpu"]`.
 * @returns the parts, or `undefined` where the program was told to stop before.
 */
export async function alone<Parts>(
  program: Program,
  [who, command]: readonly [string, string],
  directory: string,
  log: { warn(message: string, fields: Readonly<Record<string, unknown>>): void },
  load: () => Promise<Parts>,
): Promise<Parts | undefined> {
  const unlock = await holdLock(
    directory,
    `${command} ${VERSION}, pid ${process.pid}`,
    (holder) => log.warn(`another ${who} holds the state directory; waiting until it ends`, { holder, directory }),
    program.signal,
    load,
  );
  if (unlock === undefined) return undefined;
  program.onStop(unlock);
  return load();
}
