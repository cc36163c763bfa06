import { homedir } from "node:os";
import { join } from "node:path";

/** Outside the tree; survives clones. */
export function cacheDir(): string {
  return (
    process.env["DRACPU_CACHE"] ?? join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "dra-driver-cpu")
  );
}
