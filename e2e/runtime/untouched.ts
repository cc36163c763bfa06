import { surroundings } from "../kit/node/leftovers.ts";

/** What was on the machine before the first suite of this run was even loaded: some make their directory then. */
export const untouched = surroundings();
