import { settingsOf, type Command } from "./argv.ts";
import { follow } from "./follow.ts";
import { look } from "./look.ts";

const EVERY_MS = 500;

/** Comes back by itself whoever restarts. */
export const watch: Command = (argv) => {
  const settings = settingsOf(argv);
  return follow(() => look(settings), argv, EVERY_MS);
};
